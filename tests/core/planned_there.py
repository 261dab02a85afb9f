"""Plans on a second device, for the tests of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from codi_core.execution.devices import to_device
from codi_core.experiments import Experiment
from codi_core.planning import NoiseSource, Plan, PlanContext, Planner
from codi_core.planning.streams import CounterStreams, Streams, seed_of, streams_on
from codi_core.tasks import EpisodeKey, Step
from codi_core.testing import device_waits


def use_counter_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every device but the CPU the streams that CUDA has."""

    def streams(keys: Any, device: torch.device) -> Streams:
        if device.type == "cpu":
            return streams_on(keys, device)
        return CounterStreams([seed_of(key) for key in keys], device)

    monkeypatch.setattr("codi_core.planning.noise.streams_on", streams)


def context_there(
    planner: Planner, step: Step, keys: Sequence[EpisodeKey], device: Any, **changes: Any
) -> PlanContext:
    """A plan from what a step shows, on a device."""
    noise = NoiseSource([(key.seed, key.episode, 0) for key in keys], device)
    observation = {name: value.unsqueeze(1) for name, value in step.observation.items()}
    seen, state = to_device(observation, device), to_device(step.state, device)
    return PlanContext(noise, seen, planner.layout, state, **changes)


def waits_of_a_replan(
    experiment: Experiment, keys: Sequence[EpisodeKey], device: Any
) -> tuple[Sequence[str], Plan]:
    """Where a replan waits for the device, and the plan.

    What is the same for all plans is copied by the two plans before it.
    """
    planner, step = experiment.planner(), experiment.environment().reset(keys)
    before = planner.plan(context_there(planner, step, keys, device))
    follows = {"previous": before.flat, "committed": 4}
    planner.plan(context_there(planner, step, keys, device, **follows))
    replan = context_there(planner, step, keys, device, **follows)
    with device_waits() as waits:
        plan = planner.plan(replan)
    return waits, plan
