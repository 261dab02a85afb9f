"""Hostile commands through the whole layer; ``hostile_trial`` runs any number of them."""

import numpy as np
import pytest

from codi_franka.hardware.trials import judge
from codi_franka.hardware.trials.hostile import KINDS, hostile_trial
from codi_franka.hardware.trials.ideal_arms import IdealArms


def check(findings):
    assert findings.violations == judge.NONE
    assert findings.longest_stop <= 1.0 + 1e-9
    assert findings.clearance > 0.0  # the arms never come nearer than the guard's distance
    assert findings.height > 0.0
    assert findings.stops["not-finite"] + findings.stops["silence"] > 0
    assert findings.rejections.keys() >= {"speed", "hand-speed", "acceleration", "command"}


def test_hostile_sequences_break_no_published_limit_and_end_at_rest_in_time():
    check(hostile_trial(len(KINDS), seed=11, seconds=0.3))


@pytest.mark.slow
def test_a_hundred_hostile_sequences():
    check(hostile_trial(100, seed=12, seconds=0.3))


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
