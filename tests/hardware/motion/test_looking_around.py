from __future__ import annotations

import numpy as np
import torch

from codi_franka.hardware.motion.looking_around import LookingAround
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import safety_settings
from codi_franka.hardware.trials.ideal_arms import IdealArms
from codi_franka.hardware.trials.judge import NONE
from codi_franka.robot.controller import HOME
from codi_franka.robot.kinematics import forward_kinematics

PERIOD = 0.01
LOW = (0.6, 0.62, 0.0, -1.9, 0.0, 2.5, 0.785)
"""A hand 0.15 m above the table, 0.55 m from its base."""


def look(arms, seconds):
    """The arms' paths (T, 2, 7) while they wait so long, through the safety layer."""
    layer, looking = SafetyLayer(safety_settings("full"), PERIOD), LookingAround()
    layer.reset(arms.readings())
    for tick in range(round(seconds / PERIOD)):
        readings = arms.readings()
        arms.send(layer.admit(looking(tick * PERIOD, readings), readings).velocities)
    return np.array(arms.path)


def test_arms_wait_first_and_then_turn_to_both_sides():
    looking, arms = LookingAround(), IdealArms(period=PERIOD)
    path = look(arms, looking.after + looking.seconds)
    assert (path[: round(looking.after / PERIOD)] == path[0]).all()
    assert path[:, :, 0].max() > 0.9 * looking.sweep
    assert path[:, :, 0].min() < -0.9 * looking.sweep
    assert np.abs(np.diff(path, axis=0)).max() < 1.01 * looking.speed * PERIOD
    assert arms.violations() == NONE


def test_hands_rise_before_they_turn_and_stay_up():
    arms = IdealArms((LOW, HOME), PERIOD)
    path = look(arms, 20.0)[:, 0]
    heights = forward_kinematics(torch.from_numpy(path))[0][:, 2].numpy()
    turned = np.abs(path[:, 0] - LOW[0]) > 0.05
    assert heights[0] < 0.2
    assert heights[turned].min() > 0.35
    assert arms.violations() == NONE
