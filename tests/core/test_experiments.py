"""Experiments in Python: run them, read them, plan once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from plugin_path import enter_with_example

from codi_core import experiments
from codi_core.cli.run import main
from codi_core.errors import EpisodeError, UsageError
from codi_core.execution import ControlStep
from codi_core.tasks import EpisodeKey, Step
from tests.example_plugin import codi_example
from tests.example_plugin.codi_example import HORIZON, RATE_HZ

TASK = "example-points"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_with_example(tmp_path, monkeypatch)


def test_a_run_in_python_is_a_run_of_the_command() -> None:
    options = ["--task", TASK, "--episodes", "3", "--seed", "2", "--max-seconds", "1"]
    assert main([*options, "--no-video", "--no-report", "--output", "command"]) == 0
    run = experiments.run(TASK, episodes=3, seed=2, max_seconds=1, output="python", progress=False)
    again = experiments.read_run("command")
    assert run.finished
    assert run.episodes == again.episodes
    assert run.metrics["success_interval_95"] == again.metrics["success_interval_95"]
    assert json.loads(Path("python/metrics.json").read_text())["episodes"] == 3
    assert isinstance(run.figure(), Figure)
    assert run.write_report().read_bytes()[:4] == b"\x89PNG"


def test_the_tasks_options_and_presets_count() -> None:
    run = experiments.run(
        TASK,
        preset="quick",
        steps=5,
        cost="gap=2",
        task_options={"starts": (-0.5, 0.5), "randomize": False},
        episodes=1,
        max_seconds=0.5,
        output="run",
        progress=False,
    )
    config = run.experiment.config
    assert (config.samples, config.steps, config.cost) == (16, 5, ("gap=2.0",))
    assert run.traces[0]["positions"][0].tolist() == [-0.5, 0.5]
    assert experiments.from_config(run.folder.config()["configuration"]).config == config


def test_unknown_options_are_refused() -> None:
    with pytest.raises(UsageError, match="a run has no options called stepps"):
        experiments.run(TASK, stepps=3)
    with pytest.raises(UsageError, match="has no option 'start'; it has: starts, randomize"):
        experiments.run(TASK, task_options={"start": 3})


def test_one_plan_is_a_runs_first_plan() -> None:
    planned = experiments.plan(TASK, seed=4, episode=2, unguided=512)
    experiment = experiments.prepare(TASK, seed=4, episodes=3, execute=HORIZON, max_seconds=0.5)
    seen: list[ControlStep] = []
    loop, keys = experiment.loop(experiment.planner()), [EpisodeKey(4, 2)]
    loop.run(experiment.plants()(keys), keys, seen.append)
    executed = torch.stack([step.actions[0] for step in seen], 1)
    torch.testing.assert_close(planned.plan.chunks[0][:, : len(seen)], executed)


def test_the_samples_beside_a_plan_are_those_of_the_base_policies() -> None:
    planned = experiments.plan(TASK, seed=4, unguided=2048, steps=64)
    home = torch.tensor([-1.0, 1.0])
    for agent, chunk in enumerate(planned.unguided):
        # The policy is N(0.5 (home - position), I) in closed form.
        expected = 0.5 * (home[agent] - planned.step.state[0, agent])
        assert float(chunk.mean()) == pytest.approx(float(expected), abs=0.03)
        assert float(chunk.std()) == pytest.approx(1.0, abs=0.05)
    assert planned.unguided_cost.shape == (2048,)
    ends = planned.step.state + torch.cat(planned.unguided, -1).sum(2) / RATE_HZ
    gaps = (ends[0, :, 0] - ends[0, :, 1]).abs()
    torch.testing.assert_close(planned.unguided_cost, gaps)
    assert planned.cost < float(planned.unguided_cost.median())


def test_a_plan_may_come_after_some_seconds_and_be_drawn() -> None:
    at_once, later = experiments.plan(TASK, seed=4), experiments.plan(TASK, seed=4, after=0.8)
    assert later.step.time == pytest.approx(0.8)
    gaps = [abs(float(np.diff(p.step.state.numpy())[0, 0])) for p in (at_once, later)]
    assert gaps[1] < gaps[0]
    axes = later.figure().axes[0]
    assert len(axes.lines) == 2 * (64 + 2)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["left", "right"]


def test_a_plan_sees_the_observations_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy with a history sees what it would see in a run."""
    seen: list[Any] = []
    denoiser = codi_example.HomePolicy.denoiser

    def noting(self: codi_example.HomePolicy, observation: Any) -> Any:
        seen.append(observation["offset"][0, :, 0])
        return denoiser(self, observation)

    spec = attrs.evolve(codi_example.SPEC, history=2)
    offer = attrs.evolve(
        codi_example.OFFER,
        factors=tuple(attrs.evolve(factor, spec=spec) for factor in codi_example.OFFER.factors),
    )
    monkeypatch.setattr(codi_example.HomePolicy, "denoiser", noting)
    monkeypatch.setattr(codi_example, "OFFER", offer)
    before = experiments.plan(TASK, seed=4, after=0.7).step.observation["offsets"][0, 0]
    seen.clear()
    planned = experiments.plan(TASK, seed=4, after=0.8)
    left = seen[-2]  # the unguided samples' denoisers come last, one an agent
    assert left.tolist() == [float(before), float(planned.step.observation["offsets"][0, 0])]


def test_an_episode_that_breaks_before_the_plan_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    look = codi_example.PointsWorld._look

    def lost(self: codi_example.PointsWorld) -> Step:
        if self.steps == 4:
            self.positions = self.positions * torch.nan
        return look(self)

    monkeypatch.setattr(codi_example.PointsWorld, "_look", lost)
    with pytest.raises(EpisodeError, match=r"episode 2 breaks within its first 0\.8 s: .* finite"):
        experiments.plan(TASK, episode=2, after=0.8)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"driver": "arm"}, "leave the driver out"), ({"episode": -1}, "numbered from 0")],
)
def test_what_no_single_plan_is_made_of_is_refused(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        experiments.plan(TASK, **options)
