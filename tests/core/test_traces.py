"""What a trace holds of an episode: actions, the plans that they came from, and costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plugin_path import enter_with_example

from codi_core import CostFunction, experiments
from codi_core.evaluation.metrics import cost_terms
from codi_core.evaluation.tracing import CostOfActions
from codi_core.tasks import Trace
from tests.example_plugin import codi_example
from tests.example_plugin.codi_example import HORIZON, RATE_HZ

AGENTS = ("left", "right")


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_with_example(tmp_path, monkeypatch)


def run(**options: Any) -> experiments.Run:
    given = {"episodes": 3, "seed": 3, "max_seconds": 2, "execute": 4, **options}
    return experiments.run("example-points", progress=False, output="run", **given)


def executed(trace: Trace) -> np.ndarray:
    """The velocities (T, 2) that the points were given."""
    return np.concatenate([trace[f"action.{agent}"] for agent in AGENTS], -1)


@pytest.mark.parametrize("latency", [0.0, 0.2])
def test_actions_lead_from_one_event_to_the_next(latency: float) -> None:
    for trace in run(latency=latency).traces.values():
        positions, actions = trace["positions"], executed(trace)
        assert actions.shape == (len(positions) - 1, 2)
        moved = positions[:-1] + np.clip(actions, -2, 2) / RATE_HZ
        np.testing.assert_allclose(positions[1:], moved, atol=1e-6)


@pytest.mark.parametrize("latency", [0.0, 0.2])
def test_actions_are_those_of_the_plans_that_were_followed(latency: float) -> None:
    trace = run(latency=latency).traces[1]
    numbers, steps = trace["chunk.plan"], trace["chunk.step"]
    assert steps[0] == 0
    assert (np.diff(numbers) > 0).all()
    assert (np.diff(steps) == 4).all()
    for step, number in enumerate(trace["plan"]):
        row = int(np.flatnonzero(numbers == number)[0])
        for agent in AGENTS:
            planned = trace[f"chunk.{agent}"][row, step - steps[row]]
            np.testing.assert_array_equal(trace[f"action.{agent}"][step], planned)


def test_a_chunk_that_came_late_is_filled_up_with_nan() -> None:
    chunks = run(latency=0.2, execute=6).traces[0]["chunk.left"]
    assert np.isfinite(chunks[0]).all()
    assert chunks.shape[1:] == (HORIZON, 1)
    for chunk in chunks:
        rows = np.isfinite(chunk).all(-1)
        assert rows[: rows.sum()].all()


def test_terms_are_those_of_what_was_executed() -> None:
    done = run(cost=("gap", "+early-meeting=0.5:floor=0.01"))
    trace = done.traces[2]
    whole = [
        n for n, step in enumerate(trace["chunk.step"]) if step + HORIZON <= len(trace["plan"])
    ]
    assert len(whole) > 2
    for row in whole:
        step = trace["chunk.step"][row]
        moves = executed(trace)[step : step + HORIZON].cumsum(0) / RATE_HZ
        gap = np.abs(np.diff(trace["positions"][step] + moves))[:, 0]  # foreseen without limits
        assert trace["cost.gap"][row] == pytest.approx(gap[-1], abs=1e-5)
        late = np.maximum(gap, 0.01).mean()
        assert trace["cost.early-meeting"][row] == pytest.approx(late, abs=1e-5)
    assert len(trace["cost.gap"]) == len(trace["chunk.step"])


def test_a_plugins_own_term_is_in_the_metrics_by_its_name() -> None:
    done = run(cost="+early-meeting=0.5")
    costs = done.metrics["costs"]
    assert list(costs) == ["gap", "early-meeting"]
    means = [trace["cost.early-meeting"].mean() for trace in done.traces.values()]
    assert costs["early-meeting"] == pytest.approx(np.mean(means))
    assert experiments.read_run("run").metrics["costs"] == costs


def test_episodes_without_traces_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(self: object, *arguments: Any) -> None:
        raise AssertionError("somebody looked")

    monkeypatch.setattr(CostOfActions, "terms", unwanted)
    monkeypatch.setattr("codi_core.evaluation.waves.Tracer", unwanted)
    experiment = experiments.prepare("example-points", episodes=3, max_seconds=1)
    with experiment.wave_runner() as runner:
        wave = runner.run([0, 1, 2])
    assert wave.summary["costs"] == {}
    assert not wave.traces


class Broken(CostFunction):
    """Can't judge anything."""

    def __call__(self, trajectory: object) -> torch.Tensor:
        raise KeyError("elbow")


def test_a_term_that_raises_has_no_value_where_no_plan_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codi_example.PointsTask, "costs", lambda self: {"gap": Broken})
    done = run(method="base", cost=("gap", "early-meeting"))
    trace = done.traces[0]
    assert np.isnan(trace["cost.gap"]).all()
    assert np.isfinite(trace["cost.early-meeting"]).all()
    assert list(done.metrics["costs"]) == ["early-meeting"]


def test_the_metrics_take_the_episodes_that_they_are_of() -> None:
    waves = [
        {"episodes": [0, 1], "costs": {"0": {"gap": 1.0}, "1": {"gap": 3.0, "new": 5.0}}},
        {"episodes": [2], "costs": {"2": {"gap": 100.0}}},
        {"episodes": [3]},
    ]
    assert cost_terms([{"episode": 0}, {"episode": 1}], waves) == {"gap": 2.0, "new": 5.0}
