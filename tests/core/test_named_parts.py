"""Policies, predictors, simulators and drivers of other people's, found by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plugin_path import install, install_example

from codi_core import experiments
from codi_core.cli.run import main
from codi_core.data import DemonstrationDataset
from codi_core.errors import SpecificationError, UsageError

STRANGER = '''
import attrs
import torch
from codi_core import (
    BasePolicyRecord, DriverRecord, Plant, PredictorRecord, Prediction, Predictor,
    SimulatorRecord, Step, hookimpl,
)
from codi_example import HomePolicy, Options, PointsWorld, RATE_HZ, Trajectory
from codi_core.tasks import EpisodeKey

MADE = {}


class Slow(Predictor):
    """Foresees half of the way."""

    def __init__(self, parts, resources, share=0.5):
        MADE["predictor"] = (parts.agents, resources, share)
        self.share = share

    def predict(self, state, chunks):
        moved = self.share * torch.cat(chunks, -1).cumsum(2) / RATE_HZ
        return Prediction(Trajectory(state[:, None, None] + moved))


def lazy(spec, checkpoint, resources, gain=1.0):
    MADE["policy"] = (spec, checkpoint, resources, gain)
    return HomePolicy(spec, resources.device)


def short(spec, checkpoint, resources):
    return HomePolicy(attrs.evolve(spec, action=attrs.evolve(spec.action, horizon=3)))


class Rig(Plant):
    """The points as they would be driven for real: on the wall clock."""

    def __init__(self, parts, resources, starts=0.3):
        super().__init__()
        MADE["driver"] = MADE.get("driver", 0) + 1
        self.world = PointsWorld(Options(starts=(-starts, starts), randomize=False))
        self.seen = self.world.reset([EpisodeKey(0, 0)])
        self.chunks, self.first, self.ticks = None, 0.0, 0

    def _observe(self, until):
        while self.chunks is not None and (self.ticks + 1) / RATE_HZ <= self.clock.now() + 1e-6:
            index = min(round((self.ticks / RATE_HZ - self.first) * RATE_HZ), 7)
            self.seen = self.world.step(tuple(chunk[:, max(index, 0)] for chunk in self.chunks))
            self.ticks += 1
        return attrs.evolve(self.seen, time=self.clock.now())

    def _follow(self, chunks, start):
        self.chunks, self.first = chunks, start


@hookimpl
def codi_predictors():
    yield PredictorRecord("slow", "half of the way", Slow, ("example-points",))
    yield PredictorRecord("foreign", "for another task", Slow, ("elsewhere",))


@hookimpl
def codi_base_policies():
    yield BasePolicyRecord("lazy", "goes home", lazy)
    yield BasePolicyRecord("short", "plans too little", short)


@hookimpl
def codi_simulators():
    yield SimulatorRecord("clay", "moves worlds", lambda resources: None, ("example-points",))


@hookimpl
def codi_drivers():
    yield DriverRecord("rig", "two real points", Rig, ("example-points",))
'''
OPTIONS: dict[str, Any] = {"episodes": 2, "seed": 1, "max_seconds": 1.0}


@pytest.fixture(autouse=True)
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import sys

    site = tmp_path / "site"
    install_example(site)
    install(site, "codi-stranger", {"stranger": "stranger"}, source=STRANGER, module="stranger")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    for name in ("stranger", "codi_example"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    experiments.find_task("example-points")
    return sys.modules["stranger"]


def test_a_predictor_for_anothers_task(stranger: Any) -> None:
    experiment = experiments.prepare("example-points", predictor="slow:share=0.25", **OPTIONS)
    predictor = experiment.predictor()
    agents, resources, share = stranger.MADE["predictor"]
    assert (agents, share) == (("left", "right"), 0.25)
    assert (resources.device, resources.seed) == ("cpu", 1)
    chunks = (torch.ones(1, 1, 8, 1), -torch.ones(1, 1, 8, 1))
    found = predictor.predict(torch.zeros(1, 2), chunks).trajectory.positions[0, 0, -1]
    assert found.tolist() == pytest.approx([0.2, -0.2])


def test_a_kind_of_policy_serves_what_the_task_offers(stranger: Any) -> None:
    product = experiments.prepare("example-points", policy="lazy:gain=2").product()
    spec, checkpoint, _, gain = stranger.MADE["policy"]
    assert (checkpoint, gain) == (None, 2)
    assert spec.observation == {"offset": (1,)}
    assert product.layout.agents == ((0,), (1,))
    assert product.factors[0].policy is product.factors[1].policy


def test_its_checkpoint_is_what_the_user_names(stranger: Any) -> None:
    experiments.prepare("example-points", policy="lazy:checkpoint=/x/y").product()
    assert stranger.MADE["policy"][1] == Path("/x/y")


def test_a_policy_that_does_not_fit_is_named() -> None:
    with pytest.raises(SpecificationError, match=r"'short' for 'point' has horizon 3, .* needs 8"):
        experiments.prepare("example-points", policy="short").product()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"predictor": "slo"}, "unknown predictor 'slo'; did you mean 'slow'"),
        ({"predictor": "foreign"}, "'foreign' is meant for the task elsewhere"),
        ({"policy": "lazi"}, "unknown base policy 'lazi'; did you mean 'lazy'"),
        ({"policy": "lazy:offer=joint"}, "unknown offer of policies .* valid: single-agent"),
        ({"simulator": "clay"}, "simulates by itself: leave --simulator clay out"),
        ({"driver": "rog"}, "unknown driver 'rog'; did you mean 'rig'"),
    ],
)
def test_unknown_names(options: dict[str, Any], message: str) -> None:
    experiment = experiments.prepare("example-points", **options, episodes=1)
    with pytest.raises(UsageError, match=message), experiment.wave_runner() as runner:
        runner.run([0])


@pytest.mark.parametrize("worker", ["thread", "process"])
def test_a_driver_runs_on_the_wall_clock(stranger: Any, worker: str) -> None:
    arguments = ["--task", "example-points", "--driver", "rig", "--worker", worker, "--seed", "1"]
    options = ["--episodes", "2", "--max-seconds", "1.5", "--no-video", "--no-report"]
    assert main([*arguments, *options, "--output", "real", "--record", "log"]) == 0
    run = experiments.read_run("real")
    assert stranger.MADE["driver"] == 2  # one plant an episode
    assert [record["episode"] for record in run.episodes] == [0, 1]
    assert all(record["min_gap_m"] < 0.6 for record in run.episodes)  # they began 0.6 m apart
    assert run.experiment.config.worlds == 1
    assert run.experiment.config.worker == worker
    assert run.metrics["late_replans"] is not None
    assert set(run.folder.delays()) == {0, 1}
    log = DemonstrationDataset.load("log")
    assert (log.episodes, log.frames) == (2, 2 * 15)
    assert log.arrays["episode"][::15].tolist() == [[1, 0], [1, 1]]
    # Its events come from the rig, whose next positions tell what was executed.
    assert np.abs(np.diff(log.arrays["event.positions"][:15], axis=0)).max() > 0.01


def test_measured_delays_are_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--task", "example-points", "--seed", "1", "--no-video", "--no-report"]
    options = ["--latency", "measured", "--episodes", "2", "--max-seconds", "2"]
    assert main([*arguments, *options, "--output", "first"]) == 0
    first = experiments.read_run("first")
    slower = {number: [0.15] * len(row) for number, row in first.folder.delays().items()}
    lines = first.folder.file("waves.jsonl").read_text().splitlines()
    counts = {"shortened_plans": 1}
    changed = [
        {**json.loads(line), "delays": slower[n], "counts": counts} for n, line in enumerate(lines)
    ]
    first.folder.file("waves.jsonl").write_text("".join(json.dumps(c) + "\n" for c in changed))
    for name in ("second", "third"):
        assert main(["--from", "first", "--no-video", "--no-report", "--output", name]) == 0
    second, third = experiments.read_run("second"), experiments.read_run("third")
    assert second.folder.delays() == slower
    assert second.episodes == third.episodes
    assert second.episodes != first.episodes
    assert (
        "warning: 2 plans of 'first' were cut short by their deadlines" in capsys.readouterr().err
    )
