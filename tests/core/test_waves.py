"""Waves: one episode that breaks is a failure with its reason, and the others go on."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from plugin_path import enter_with_example

from codi_core import experiments
from codi_core.cli.run import main
from codi_core.errors import CostError, EpisodeError, PlanError
from codi_core.evaluation.waves import WaveRunner
from codi_core.execution import RecedingHorizon, SimulatedPlant
from codi_core.planning import Plan, PlanContext, Planner
from codi_core.tasks import EpisodeKey, Plant, Step
from tests.example_plugin import codi_example

QUICK = {"episodes": 4, "seed": 3, "max_seconds": 1.0}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_with_example(tmp_path, monkeypatch)


class Fragile(codi_example.PointsWorld):
    """Raises as soon as one of its worlds runs an episode of ``bad``."""

    bad: frozenset[int] = frozenset()

    def reset(self, episodes: Sequence[EpisodeKey], rows: Sequence[int] | None = None) -> Step:
        self.numbers = [key.episode for key in episodes]
        return super().reset(episodes, rows)

    def step(self, actions: tuple[torch.Tensor, ...]) -> Step:
        if self.bad.intersection(self.numbers):
            raise ZeroDivisionError("a wheel came off")
        return super().step(actions)


class Faulty(Planner):
    """Plans NaN in worlds whose left point is at ``where``, or raises there."""

    def __init__(self, inner: Planner, where: float, raises: bool) -> None:
        self.inner, self.where, self.raises = inner, where, raises
        self.layout = inner.layout

    def plan(self, context: PlanContext) -> Plan:
        plan = self.inner.plan(context)
        broken = (context.state[:, 0] - self.where).abs() < 1e-6
        if self.raises and bool(broken.any()):
            raise KeyError("elbow")
        chunks = tuple(
            torch.where(broken[:, None, None], torch.nan, chunk) for chunk in plan.chunks
        )
        return attrs.evolve(plan, chunks=chunks)


def runner(bad: Sequence[int] = ()) -> WaveRunner:
    experiment = experiments.prepare("example-points", **QUICK)
    world = Fragile(experiment.opened.options)
    world.bad = frozenset(bad)

    def plant(keys: Sequence[EpisodeKey]) -> Plant:
        return SimulatedPlant(world, keys, codi_example.RATE_HZ)

    made = experiment.wave_runner()
    made.plant = plant
    return made


def faulty(episode: int, raises: bool) -> WaveRunner:
    """The planner breaks in the world of one episode."""
    made = runner()
    start = codi_example.PointsWorld(codi_example.Options()).reset([EpisodeKey(3, episode)])
    loop = made.loop
    assert isinstance(loop.planner, Planner)
    planner = Faulty(loop.planner, float(start.state[0, 0]), raises)
    made.loop = RecedingHorizon(planner, loop.settings)
    return made


def assert_alike(some: Sequence[Any], others: Sequence[Any], numbers: Sequence[int]) -> None:
    """The episodes with these numbers are the same, up to the rounding of batched sums."""
    for number in numbers:
        gaps = [entry[number].pop("min_gap_m") for entry in (some, others)]
        assert some[number] == others[number]
        assert gaps[0] == pytest.approx(gaps[1], rel=1e-5)


def test_an_error_of_one_world_fails_its_episode_alone() -> None:
    undisturbed = runner().run(range(4)).records
    broken = runner(bad=[2]).run(range(4)).records
    assert broken[2] == {
        "episode": 2,
        "success": False,
        "completion_time_s": None,
        "error": "ZeroDivisionError: a wheel came off",
    }
    assert_alike(broken, undisturbed, (0, 1, 3))


def test_an_error_of_all_worlds_is_raised() -> None:
    with pytest.raises(EpisodeError, match="ZeroDivisionError: a wheel came off"):
        runner(bad=range(4)).run(range(4))


def test_a_single_world_that_breaks_later_fails_alone() -> None:
    made = runner(bad=[1])
    assert "error" not in made.run([0]).records[0]
    assert made.run([1]).records[0]["error"] == "ZeroDivisionError: a wheel came off"


def test_a_single_world_that_breaks_at_once_is_the_users_mistake() -> None:
    with pytest.raises(EpisodeError, match="ZeroDivisionError"):
        runner(bad=[1]).run([1])


@pytest.mark.parametrize("raises", [False, True])
def test_a_plan_that_breaks_in_one_world_fails_its_episode_alone(raises: bool) -> None:
    undisturbed = runner().run(range(4)).records
    records = faulty(1, raises).run(range(4)).records
    assert not records[1]["success"]
    assert ("elbow" if raises else "not finite") in records[1]["error"]
    assert_alike(records, undisturbed, (0, 2, 3))


def test_a_plan_that_is_finite_nowhere_is_the_users_mistake() -> None:
    with pytest.raises(PlanError, match="Faulty planned"):
        faulty(1, raises=False).run([1])


def test_a_planner_that_raises_everywhere_is_the_users_mistake() -> None:
    with pytest.raises(EpisodeError, match="every episode breaks: KeyError: 'elbow'") as caught:
        faulty(1, raises=True).run([1])
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.exit_code == 2


def test_a_part_that_ends_the_program_has_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(self: codi_example.Gap, trajectory: Any) -> Any:
        raise SystemExit(0)

    with monkeypatch.context() as costs:
        costs.setattr(codi_example.Gap, "__call__", leave)
        with pytest.raises(CostError, match="cost 'gap' raised SystemExit: 0"):
            runner().run(range(4))
    monkeypatch.setattr(Faulty, "plan", leave)
    with pytest.raises(EpisodeError, match="every episode breaks: SystemExit: 0"):
        faulty(1, raises=True).run(range(4))


def test_a_wave_crosses_to_other_processes() -> None:
    experiment = experiments.prepare("example-points", **QUICK)
    configuration = json.loads(json.dumps(attrs.asdict(experiment.config)))
    wave = experiments.run_wave(configuration, [0, 2], [2])
    again = pickle.loads(pickle.dumps(wave))
    assert [record["episode"] for record in again.records] == [0, 2]
    assert again.records == experiment.wave_runner().run([0, 2]).records
    assert list(again.traces) == [2]
    assert again.summary["episodes"] == [0, 2]


def test_the_run_goes_on_and_tells_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(self: codi_example.PointsWorld, actions: Any) -> Step:
        if bool((self.positions[:, 0] > -0.75).any()):
            raise RuntimeError("off the rails")
        return self._look()  # nobody moves

    monkeypatch.setattr(codi_example.PointsWorld, "step", step)
    arguments = ["--task", "example-points", "--episodes", "6", "--max-seconds", "1"]
    assert main([*arguments, "--no-video", "--output", "run"]) == 0
    run = experiments.read_run("run")
    broken = [record for record in run.episodes if "error" in record]
    assert 0 < len(broken) < 6
    assert {record["error"] for record in broken} == {"RuntimeError: off the rails"}
    assert run.metrics["errors"] == len(broken)
    assert run.metrics["episodes"] == 6
    captured = capsys.readouterr()
    assert f"warning: episode {broken[0]['episode']} broke: RuntimeError: off" in captured.err
    assert Path("run/report.png").exists()
