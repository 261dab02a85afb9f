"""What is kept of long runs, the job's options, and the person; without any peer."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import attrs
import numpy as np
import pytest

from codi_core.errors import PluginError, UsageError
from codi_franka.hardware.bench import runs_job
from codi_franka.hardware.bench.command import main
from codi_franka.hardware.bench.peers import SCRIPTS, checkout
from codi_franka.hardware.bench.run_results import Asked, LongRun, RunsFile, Steps, line, seeing
from codi_franka.hardware.bench.runs import peer_setup
from codi_franka.hardware.plant import STATUSES
from codi_franka.robot.box import Box
from codi_franka.vision.estimate import CubeStatus

ASKED = Asked(seconds=60.0, slowdown=2.0)


def made(seed, asked=ASKED, **changes):
    """A finished run."""
    wire = {"commands": 1000, "velocity": 0, "acceleration": 1, "jerk": 0, "position": 0}
    values = {
        "seed": seed, "asked": attrs.asdict(asked), "attempts": 2, "deliveries": 1,
        "ended": ("delivered", "timeout"), "seconds": (20.0, 60.0), "at": (25.0, 86.0),
        "failure": None, "robot_errors": 0, "halts": 1, "pushes": {"40": 3, "80": 1, "120": 0},
        "slowdown": 2.1, "wire": {"left": wire, "right": wire},
        "seeing": attrs.asdict(seeing(np.zeros(4, int), np.full(4, 0.4), np.full(4, 0.5))),
        "pictures": {"count": 3, "rate": 9.8, "seconds": 0.3}, "calibration": {},
    }  # fmt: skip
    return LongRun(**{**values, **changes})


@pytest.fixture
def runs(monkeypatch):
    """Which seeds were run; what runs is not a peer."""
    ran = []

    def run(seed, asked, folder):
        ran.append(seed)
        if seed == 7 and ran.count(7) == 1:
            raise KeyboardInterrupt
        return made(seed, asked)

    monkeypatch.setattr(runs_job, "long_run", run)
    return ran


def test_finished_runs_are_not_run_again(tmp_path, runs, capsys):
    common = ["runs", "--seconds", "60", "--output", str(tmp_path), "--seed", "6"]
    assert main([*common, "--runs", "3"]) == 130
    assert [run["seed"] for run in json.loads((tmp_path / "runs.json").read_text())] == [6]
    assert main([*common, "--runs", "3"]) == 0
    assert runs == [6, 7, 7, 8]
    told = capsys.readouterr().out
    assert "seed 6 was run before" in told and "seed 8: 1 of 2 attempts delivered" in told
    assert main([*common, "--runs", "3"]) == 0
    assert runs == [6, 7, 7, 8]


def test_runs_of_something_else_are_not_mixed(tmp_path, runs, capsys):
    common = ["runs", "--runs", "1", "--output", str(tmp_path)]
    assert main(common) == 0
    for other, name in (
        (["--cameras", "hands"], "cameras truth, not hands"),
        (["--box", "50", "60", "70"], r"box None, not [50.0, 60.0, 70.0]"),
        (["--attempts", "4"], "attempts None, not 4"),
    ):
        assert main([*common, *other]) == 2
        assert f"holds runs with {name}: give the same options" in capsys.readouterr().err
    (tmp_path / "runs.json").write_text('[{"seed": 0}]')
    assert main(common) == 2
    assert "is damaged, or of another version" in capsys.readouterr().err
    (tmp_path / "runs.json").write_text("[")
    assert main(common) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cameras", "walls"], "invalid choice: 'walls'"),
        (["--box", "90", "85", "100"], "no hand can take a box of 90 x 85 x 100 mm"),
        (["--box", "90", "90", "20"], "it comes from above"),
        (["--box", "50", "50", "400"], "up to 300 mm"),
        (["--box", "50", "-50", "50"], "must be a positive number"),
        (["--box", "50", "50"], "expected 3 arguments"),
        (["--attempts", "0"], "must be a whole number of at least 1"),
        (["--rate", "0"], "must be a positive number"),
    ],
)
def test_what_can_not_be_run_is_told(tmp_path, runs, capsys, options, message):
    assert main(["runs", "--output", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err
    assert runs == []


def test_pictures_need_the_extra(tmp_path, runs, capsys, monkeypatch):
    def missing():
        raise PluginError("seeing the cube needs cv2: pip install 'codi-franka[vision]'")

    monkeypatch.setattr(runs_job, "require_vision", missing)
    assert main(["runs", "--cameras", "fixed", "--output", str(tmp_path)]) == 2
    assert "pip install 'codi-franka[vision]'" in capsys.readouterr().err
    assert runs == []


def test_errors_of_a_lost_cube_are_not_those_that_were_planned_with():
    at = [STATUSES.index(status) for status in CubeStatus]
    status = np.array([at[0]] * 16 + [at[2]] * 2 + [at[4]] * 2)
    error = np.array([0.5] * 16 + [3.0] * 2 + [400.0] * 2)
    found = seeing(status, error, error)
    assert found.status == {
        "seen": 0.8, "predicted": 0.0, "held": 0.1, "stale": 0.0, "lost": 0.1
    }  # fmt: skip
    assert found.millimetres == (0.5, 3.0)
    assert found.by_status["lost"] == (400.0, 400.0)
    assert "stale" not in found.by_status
    nothing = Steps.read(checkout() / "no recording").seeing()
    assert nothing.steps == 0 and nothing.millimetres is None


def test_a_run_is_told_in_one_line():
    said = line(made(3, robot_errors=2, failure="the left hand does not answer"))
    assert said == (
        "seed 3: 1 of 2 attempts delivered, 2.1 times slower than real time; left 1 of 1000 "
        "commands outside the limits, right 1 of 1000 commands outside the limits; pictures at "
        "9.8 Hz; the cube was seen 100 %, predicted 0 %, held 0 %, stale 0 %, lost 0 %, its place "
        "wrong by 0.4 mm (95 %: 0.4 mm); arms reported 2 errors, and were stopped 1 times; hands "
        "were pushed 3 times over 40 N, 1 times over 80 N, 0 times over 120 N; ended early: the "
        "left hand does not answer"
    )


def test_a_push_counts_once_while_it_lasts():
    rows = np.zeros((7, 0))
    force = np.array([10.0, 90.0, 60.0, 20.0, 50.0, 130.0, 130.0])
    steps = Steps(rows, rows, rows, np.array([0, 0, 1]), np.array([0, 2, 2]), force, rows)
    assert steps.pushes() == {"40": 2, "80": 2, "120": 1}
    assert (steps.robot_errors, steps.stops) == (1, 2)
    assert Steps(rows, rows, rows, rows, rows, force[1:2], rows).pushes()["80"] == 1


def test_the_file_holds_what_was_run(tmp_path):
    file = RunsFile(tmp_path, ASKED)
    file.add(made(2))
    file.add(made(1))
    assert [run.seed for run in RunsFile(tmp_path, ASKED).runs] == [1, 2]
    with pytest.raises(UsageError, match=r"slowdown 2\.0, not 3\.0"):
        RunsFile(tmp_path, attrs.evolve(ASKED, slowdown=3.0))


def test_the_peer_is_told_of_the_box():
    setup = peer_setup(0, 1.0, None, True, Box((0.05, 0.06, 0.09)), attempts=50)
    assert setup["size"] == [0.025, 0.03, 0.045] and setup["attempts"] == 50
    assert setup["mass"] == pytest.approx(0.216)
    assert peer_setup(0, 1.0, None, True)["mass"] == pytest.approx(0.1)


class Cube:
    """A cube and hands that a test moves."""

    def __init__(self):
        self.pose, self.twist, self.touched = np.zeros(7), np.zeros(6), False
        self.at_home = np.array([[-0.3, 0.0, 0.5], [0.3, 0.0, 0.5]])
        self.moved = 0.0

    def hands(self):
        return self.at_home + (0.0, 0.0, self.moved)

    def place(self, x, y, yaw):
        self.pose[:3] = x, y, 0.045


@pytest.fixture
def person(monkeypatch):
    monkeypatch.syspath_prepend(str(checkout() / SCRIPTS))
    from person import Person

    setup = SimpleNamespace(
        goal=[0.45, 0.0], places=[[-0.4, 0.2, 0.0]] * 5, attempts=2, size=[0.025, 0.03, 0.045]
    )
    events = []
    cube = Cube()
    made = Person(setup, cube, lambda kind, **more: events.append((kind, more)))
    yield made, cube, events
    sys.modules.pop("person")


def test_attempts_are_counted_from_the_first_motion_on(person):
    somebody, cube, events = person
    for now in np.arange(0.0, 100.0, 0.5):
        somebody.look(now)
    assert events == []
    cube.moved = 0.05
    for now in np.arange(100.0, 159.9, 0.5):
        somebody.look(now)
    assert events == []
    somebody.look(160.0)
    assert events[0][0] == "attempt" and events[0][1]["how"] == "timeout"
    assert events[0][1]["seconds"] == pytest.approx(60.5, abs=0.6)


def test_a_box_that_stands_at_the_goal_is_delivered_one_in_a_hand_is_not(person):
    somebody, cube, events = person
    cube.moved = 0.05
    somebody.look(0.0)
    cube.pose[:3] = 0.45, 0.05, 0.12
    somebody.look(1.0)
    assert events == [] and not somebody.done
    cube.pose[2] = 0.045
    somebody.look(2.0)
    assert events[0][1]["how"] == "delivered"
    assert not somebody.done
    somebody.look(3.5)
    assert cube.pose[:2].tolist() == [-0.4, 0.2]
    cube.pose[2] = -0.5
    somebody.look(4.0)
    assert somebody.done, "two attempts have ended"
