import numpy as np
import pytest

from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import safety_settings
from codi_franka.hardware.safety.verdict import Reason
from tests.hardware.motion.arms import NOTHING, IdealArms

PERIOD = 0.004


def cell(name="normal", **changes):
    arms = IdealArms(period=PERIOD)
    layer = SafetyLayer(safety_settings(name, **changes), PERIOD)
    layer.reset(arms.readings())
    return layer, arms


def drive(layer, arms, wanted, seconds):
    reasons = set()
    for _ in range(round(seconds / arms.period)):
        verdict = layer.admit(wanted, arms.readings())
        reasons |= {each.reason for each in verdict.rejections}
        arms.send(verdict.velocities)
    return reasons


def test_what_is_within_all_limits_is_reached_and_kept():
    layer, arms = cell()
    wanted = np.full((2, 7), 0.1)
    reasons = drive(layer, arms, wanted, 0.3)
    assert reasons == {Reason.ACCELERATION}  # the first step
    np.testing.assert_allclose(arms.velocities, wanted)
    assert arms.violations() == NOTHING


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_command_that_is_not_finite_stops_both_arms(wrong):
    layer, arms = cell()
    drive(layer, arms, np.full((2, 7), 0.3), 0.2)
    wanted = np.zeros((2, 7))
    wanted[1, 3] = wrong
    verdict = layer.admit(wanted, arms.readings())
    assert verdict.stop
    assert verdict.rejections[0].reason is Reason.COMMAND
    arms.send(verdict.velocities)
    drive(layer, arms, np.full((2, 7), 0.3), 0.2)
    assert layer.at_rest
    assert not arms.velocities.any()
    assert arms.violations() == NOTHING
