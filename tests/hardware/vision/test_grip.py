import numpy as np
import pytest

from codi_franka.vision.grip import Grip
from codi_franka.vision.hands import HandHistory, HandPoses
from codi_franka.vision.markers import CUBE, MarkedBox
from codi_franka.vision.poses import exp, matrix
from tests.hardware.vision.synthetic import READY


def grip_of(widths, box=CUBE, joints=lambda number: READY):
    """A hand whose fingers are so far apart, every 0.1 s, and its grip."""
    hands = HandHistory()
    for number, width in enumerate(widths):
        hands.add(0.1 * number, HandPoses.of(joints(number), (width, 0.08)))
    return hands, Grip(hands, box)


def test_fingers_hold_what_is_as_wide_as_they_are_apart():
    hands, grip = grip_of([0.08, 0.048, 0.01, 0.056])
    place = hands.at(0.1).poses[0][:3, 3]
    found = [grip.holder(place, 0.1 * number, seen=0.1 * number) for number in range(4)]
    assert found == [None, (0, pytest.approx(0.08)), None, None]
    assert grip.holder(place + (0.05, 0, 0), 0.1, seen=0.1) is None


def test_fingers_that_came_to_rest_where_something_is_hidden_hold_it():
    hands, grip = grip_of([0.08, 0.08, 0.049, 0.048, 0.047, 0.047])
    beside = hands.at(0.5).poses[0][:3, 3] + (0.05, 0, 0)
    assert grip.holder(beside, 0.5, seen=0.0) == (0, pytest.approx(0.2))
    assert grip.holder(beside, 0.5, seen=0.3) is None  # there, after the fingers had closed
    assert grip.holder(beside + (0.05, 0, 0), 0.5, seen=0.0) is None


def test_fingers_that_pass_a_width_do_not_hold_anything():
    hands, grip = grip_of([0.08, 0.07, 0.06, 0.053, 0.046, 0.035])
    beside = hands.at(0.5).poses[0][:3, 3] + (0.05, 0, 0)
    assert not any(grip.holder(beside, time, seen=-1.0) for time in np.arange(0, 0.51, 0.05))


def test_a_hand_that_carried_it_away_since_holds_it():
    away = [READY + 0.05 * number for number in range(6)]
    hands, grip = grip_of([0.048] * 6, joints=away.__getitem__)
    was = hands.at(0.0).poses[0][:3, 3]
    assert np.linalg.norm(hands.at(0.5).poses[0][:3, 3] - was) > 0.08
    assert grip.holder(was, 0.5, seen=-1.0) == (0, pytest.approx(-0.08))
    assert grip.holder(was, 0.5, seen=0.2) is None


def test_it_is_known_when_a_hand_let_go():
    _, grip = grip_of([0.048, 0.048, 0.05, 0.07])
    assert grip.let_go(0, 0.0, 0.2) is None
    assert grip.let_go(0, 0.0, 0.3) == pytest.approx(0.24, abs=0.021)  # at 0.055


def test_a_held_box_lies_with_two_faces_against_the_fingers():
    hands, grip = grip_of([0.048])
    hand = hands.at(0.0).poses[0]
    believed = matrix(hand[:3, :3] @ exp((0.2, 1.0, 0.3)), hand[:3, 3] + (0.03, 0.02, 0.0))
    pose, spread = grip.between(0, 0.0, believed)
    against = np.abs(pose[:3, :3].T @ hand[:3, 1])
    assert sorted(against) == pytest.approx([0, 0, 1], abs=1e-9)
    turned = believed[:3, :3].T @ pose[:3, :3]
    assert np.arccos((np.trace(turned) - 1) / 2) < 0.5  # to the nearest such pose
    assert pose[:3, 3] == pytest.approx(hand[:3, 3])
    local = hand[:3, :3].T @ spread[:3, :3] @ hand[:3, :3]
    assert np.sqrt(np.diag(local)) == pytest.approx([0.015, 0.003, 0.015])


def test_a_longer_box_may_be_held_further_from_its_middle():
    _, cube = grip_of([0.048])
    _, long = grip_of([0.048], MarkedBox((0.05, 0.06, 0.12), 0.04))
    pose = np.eye(4)
    wide = [np.trace(grip.between(0, 0.0, pose)[1][:3, :3]) for grip in (cube, long)]
    assert wide[1] > 4 * wide[0]


def test_only_a_hand_nearby_can_hide_it():
    hands, grip = grip_of([0.08])
    place = hands.at(0.0).poses[0][:3, 3]
    assert grip.hides(place + (0.0, 0.1, 0.0), 0.0)
    assert not grip.hides(place + (0.0, 0.3, 0.0), 0.0)
    assert not Grip(HandHistory(), CUBE).hides(place, 0.0)
