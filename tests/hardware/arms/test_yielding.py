"""Hands give way to what they run against."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.yielding import Yielding
from codi_franka.robot.controller import HOME
from codi_franka.robot.kinematics import jacobian

MODEL = jacobian(torch.tensor([HOME], dtype=torch.float64))[0, :3].numpy()


def readings(*forces):
    zero = np.zeros(7)
    home = np.array(HOME)
    return [ArmReading(0.0, home, zero, np.array(force, float), zero, home) for force in forces]


def against(velocity):
    """Joint velocities (2, 7) of hands that move along z [m/s]."""
    one = np.linalg.pinv(MODEL) @ (0.0, 0.0, velocity)
    return np.stack((one, one))


def test_light_forces_change_nothing():
    wanted = against(-0.2)
    assert Yielding()(wanted, readings((0, 0, 5.9), (3, 3, 3))) is wanted


def test_a_firm_force_takes_the_motion_against_it_alone():
    wanted = against(-0.2) + np.linalg.pinv(MODEL) @ (0.1, 0.0, 0.0)
    given_way = Yielding()(wanted, readings((0, 0, 15.0), (0, 0, 0)))
    assert MODEL @ given_way[0] == pytest.approx((0.1, 0.0, 0.0), abs=0.02)
    assert (given_way[1] == wanted[1]).all()


def test_a_hard_force_pushes_the_hand_away():
    given_way = Yielding()(against(-0.2), readings((0, 0, 35.0), (0, 0, 0)))
    assert 0.09 < (MODEL @ given_way[0])[2] < 0.13


def test_what_is_not_finite_is_left_to_the_safety_layer():
    wanted = against(0.1)
    assert Yielding()(wanted, readings((np.nan, 0, 0), (0, 0, 99))) is wanted


@given(st.floats(-1, 1), st.floats(0, 200), st.floats(0, 200))
def test_the_stronger_the_push_the_faster_away(speed, first, second):
    yielding = Yielding()
    weak, strong = sorted((first, second))
    assert yielding.change(speed, strong) >= yielding.change(speed, weak) >= 0.0
    assert yielding.change(speed, strong) <= max(0.0, -speed) + yielding.fastest
