import pytest

from codi_core.errors import UsageError
from codi_franka.hardware.motion.limits import Margins
from codi_franka.hardware.safety.settings import PRESETS, SafetySettings, safety_settings
from codi_franka.robot.separation import SeparationGuard


def test_settings_have_names_and_can_be_changed():
    assert safety_settings() == SafetySettings()
    assert safety_settings("first-run").speed == 0.1
    assert (safety_settings().stop_seconds, safety_settings("full").stop_seconds) == (0.2, 0.3)
    assert safety_settings("full", stop_force=30.0).stop_force == 30.0
    assert set(PRESETS) == {"first-run", "normal", "full"}


def test_the_arms_keep_the_distance_of_the_simulations_guard():
    settings, guard = SafetySettings(), SeparationGuard(None)
    assert (settings.arm_distance, settings.separation_gain) == (guard.margin, guard.gain)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stop_force": 10.0}, "must rise in this order"),
        ({"reflex_force": 30.0}, "must rise in this order"),
        ({"contact_over": 25.0}, "must rise in this order"),
        ({"stop_torques": (50.0,) * 7}, "between 0 and reflex_torque, 40 N m"),
        ({"stop_torques": (5.0,) * 6}, "seven values"),
        ({"speed": 1.5}, "shares up to 1"),
        ({"hand_speed": -1.0}, "hand_speed must be above 0, not -1"),
        ({"box_lowest": (1.0, 0.0, 0.0)}, "box_lowest must be below box_highest"),
        ({"force_limit": 1.0}, "unknown safety settings force_limit; there are stop_seconds, "),
    ],
)
def test_impossible_settings_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        safety_settings("normal", **changes)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UsageError, match="choose from first-run, normal, full"):
        safety_settings("fast")


def test_margins_are_part_of_the_settings():
    assert safety_settings("normal", margins=Margins(speed=0.5)).margins.speed == 0.5
