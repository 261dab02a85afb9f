"""Hands that come down beside an object, and on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codi_franka.hardware.motion.landing import Landing
from codi_franka.robot.box import CUBE, Box

DOWN = np.diag((1.0, -1.0, -1.0))
"""A hand that points down, its fingers along y."""
PLACE = np.array((0.3, -0.2, 0.025))
FACE = 0.05 + 0.012
"""[m] Where the tool centre point is when fingertips are on the cube's face."""


def about_z(angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array(((cos, -sin, 0.0), (sin, cos, 0.0), (0.0, 0.0, 1.0)))


def speed(offset=(0.0, 0.0), above=0.04, width=0.08, yaw=0.0, turned=None, box=CUBE, place=PLACE):
    """Of a hand so far from the box's centre and so high above its face; the other is far away."""
    turned = np.eye(3) if turned is None else turned
    upwards = np.abs(turned[2]).argmax()
    height = place[2] + box.size[upwards] / 2 + 0.012 + above
    tips = np.array(((place[0] + offset[0], place[1] + offset[1], height), (1.0, 1.0, 0.1)))
    hands = np.stack((about_z(yaw) @ DOWN, DOWN))
    found = Landing(box).speeds(tips, hands, np.array((width, 0.08)), place, turned)
    assert found[1] == np.inf
    return found[0]


def test_a_grasp_that_is_aimed_well_is_as_fast_as_it_is_wanted():
    for above in (0.0, 0.03, 0.3):
        assert speed(above=above) == np.inf
    assert speed((0.01, 0.0)) == np.inf  # along the fingers' breadth there is room
    assert speed((0.0, 0.01)) == np.inf


@pytest.mark.parametrize(
    "badly",
    [
        {"offset": (0.0, 0.013)},
        {"offset": (0.0, -0.02)},
        {"width": 0.055},
        {"width": 0.01},
        {"yaw": np.pi / 4},
        {"turned": about_z(0.8)},
        {"box": Box((0.05, 0.075, 0.05))},
    ],
)
def test_fingers_that_would_land_come_down_slowly(badly):
    assert speed(above=0.04, **badly) == pytest.approx(0.05 + 3.0 * 0.04)
    assert speed(above=0.0, **badly) == pytest.approx(0.05)
    assert speed(above=-0.005, **badly) == pytest.approx(0.05)
    assert speed(above=-0.03, **badly) == np.inf  # beside it already


def test_a_hand_beside_the_object_is_free():
    assert speed((0.12, 0.0), above=0.01, width=0.0) == np.inf
    assert speed((0.0, -0.12), above=0.01) == np.inf


def test_a_box_is_as_high_as_it_lies():
    box = Box((0.05, 0.06, 0.07))
    lying = np.array(((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)))  # on its side
    assert speed(width=0.03, box=box, turned=lying, above=0.02) == pytest.approx(0.05 + 0.06)
    # From above it is 7 cm long and 6 cm wide now.
    assert speed((0.045, 0.0), width=0.0, box=box, turned=lying) < np.inf
    assert speed((0.045, 0.0), width=0.0, box=box) == np.inf


@given(
    st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(0.0, 0.08), st.floats(-3, 3),
    st.floats(-3, 3),
)  # fmt: skip
def test_it_does_not_matter_which_way_the_cell_is_turned(x, y, width, yaw, all_of_it):
    turn = about_z(all_of_it)
    offset = turn[:2, :2] @ (x, y)
    place = turn @ PLACE
    here = speed((x, y), width=width, yaw=yaw)
    there = speed(offset, width=width, yaw=yaw + all_of_it, turned=turn, place=place)
    near = min(speed((x, y), width=width, yaw=yaw + d) for d in (-0.01, 0.01))
    assert here == pytest.approx(there) or here != near  # at the very edge rounding decides
