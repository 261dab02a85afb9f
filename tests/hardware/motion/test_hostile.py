"""Hostile commands through the whole layer; ``hostile_trial`` runs any number of them."""

import json

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codi_franka.hardware.bench.command import main
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import safety_settings
from codi_franka.hardware.safety.verdict import Reason
from codi_franka.hardware.trials import judge
from codi_franka.hardware.trials.hostile import KINDS, Findings, hostile_trial
from codi_franka.hardware.trials.ideal_arms import IdealArms
from codi_franka.robot.cell import ARMS
from codi_franka.robot.clearance import arm_clearance
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import joint_origins


def check(findings):
    assert findings.harmless, findings.summary
    assert findings.stops["not-finite"] + findings.stops["silence"] > 0
    assert findings.rejections.keys() >= {"speed", "hand-speed", "acceleration", "command"}


def test_hostile_sequences_break_no_published_limit_and_end_at_rest_in_time():
    check(hostile_trial(len(KINDS), seed=11, seconds=0.3))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=3, deadline=None)
def test_two_arms_never_come_nearer_than_the_guards_distance(seed):
    """Both hands are drawn to one place."""
    findings = hostile_trial(1, seed, seconds=1.2, periods=(0.01,), kinds=("together",))
    assert findings.harmless, findings.summary


@pytest.mark.slow
def test_a_hundred_hostile_sequences():
    check(hostile_trial(100, seed=12, seconds=0.3))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"violations": {**judge.NONE, "jerk": 12.0}}, "broken: jerk by 12,"),
        ({"longest_stop": 1.1}, "110 % of what it may take"),
        ({"clearance": -0.001}, "-1.0 mm more than needed between the arms"),
        ({"height": -0.002}, "-2.0 mm above the table"),
    ],
)
def test_findings_that_are_not_harmless_say_why(changes, words):
    good = Findings(clearance=0.01, height=0.01)
    assert good.harmless and "limits kept" in good.summary
    bad = attrs.evolve(good, **changes)
    assert not bad.harmless
    assert words in bad.summary


def test_a_trials_sequences_are_the_same_each_time():
    first, second = (hostile_trial(2, seed=5, seconds=0.1) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("commands", "broken"),
    [
        ([0.1], {"acceleration", "jerk"}),
        ([0.009] * 2, {"jerk"}),
        ([0.004, 0.012, 0.021, 0.0315], {"acceleration"}),
        ([0.004 + 0.0085 * n for n in range(320)], {"velocity"}),
        ([0.001, 0.002, 0.003], set()),
    ],
)
def test_the_judge_sees_each_kind_of_violation(commands, broken):
    arms = IdealArms(period=0.001)
    for each in commands:
        arms.send(np.array([[each, *[0.0] * 6], [0.0] * 7]))
    found = arms.violations()
    assert {name for name, value in found.items() if value > 0.0} == broken


def test_the_judge_sees_positions_beyond_their_limits():
    start = np.zeros((2, 7))
    start[:, 0], start[:, 3], start[:, 5] = 2.7430, -1.0, 1.0
    arms = IdealArms(start, period=0.01)
    for speed in (0.04, 0.08, 0.08, 0.04, 0.0):
        arms.send(np.array([[speed, *[0.0] * 6], [0.0] * 7]))
    assert arms.violations()["position"] == pytest.approx(0.0017)


@pytest.mark.parametrize("sideways", [0.0, 0.25])
def test_two_hands_that_want_into_one_place_stop_short_of_each_other(sideways):
    settings = safety_settings()
    arms = IdealArms(period=0.01)
    layer = SafetyLayer(settings, arms.period)
    layer.reset(arms.readings())
    controller, wanted = EndEffectorController(), torch.zeros(2, 6, dtype=torch.float64)
    separated = False
    while arms.time < 2.0:
        wanted[:, 0], wanted[:, 1] = 0.4, torch.tensor((sideways, -sideways))
        velocities = controller.joint_velocity(torch.from_numpy(arms.positions), wanted).numpy()
        verdict = layer.admit(velocities, arms.readings())
        separated |= any(each.reason is Reason.SEPARATION for each in verdict.rejections)
        arms.send(verdict.velocities)
    origins = joint_origins(torch.from_numpy(np.array(arms.path)))
    tool, wrist, elbow = BaseFrames.of(ARMS, dtype=torch.float64).arms_to_world(
        (origins[:, :, 7], origins[:, :, 4], origins[:, :, 3])
    )
    clearance = arm_clearance((tool, wrist, elbow))
    assert separated
    assert settings.arm_distance < clearance.min() < settings.arm_distance + 0.05
    assert arms.violations() == judge.NONE


def test_the_job_writes_what_it_found(tmp_path, capsys):
    assert main(["hostile", "--sequences", "3", "--output", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "hostile.json").read_text())
    assert written["sequences"] == 3
    assert written["violations"] == judge.NONE
    assert "published limits kept" in capsys.readouterr().out


def test_an_interrupted_job_goes_on_and_finds_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("codi_franka.hardware.bench.command.KEPT", 2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    arguments = ["hostile", "--sequences", "5", "--seed", "3", "--output"]
    assert main([*arguments, str(whole)]) == 0
    assert main([*arguments[:2], "2", *arguments[3:], str(parts)]) == 0
    assert main([*arguments, str(parts)]) == 0
    assert "going on after the 2 sequences" in capsys.readouterr().out
    found = [json.loads((each / "hostile.json").read_text()) for each in (whole, parts)]
    assert found[0] == found[1]
    # Those of another seed are others.
    assert main(["hostile", "--sequences", "1", "--seed", "4", "--output", str(parts)]) == 0
    assert json.loads((parts / "hostile.json").read_text())["sequences"] == 1
