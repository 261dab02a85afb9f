"""Where arms and box are in the pictures that are measured."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from codi_franka.robot.cell import TABLE_SIZE
from codi_franka.vision.camera_model import CameraModel, Lens
from codi_franka.vision.hands import HandPoses
from codi_franka.vision.markers import MarkedBox
from codi_franka.vision.poses import exp, matrix

Array = NDArray[np.float64]

SIZE = (1280, 720)
LENS = Lens(
    SIZE,
    np.array([[905.0, 0.0, 646.0], [0.0, 903.0, 353.0], [0.0, 0.0, 1.0]]),
    np.array([-0.11, 0.05, 0.0006, -0.0004, 0.0]),
)
"""Of the fixed cameras: 71 degrees wide, bent as a webcam's."""
WRIST_LENS = Lens(
    SIZE,
    np.array([[705.0, 0.0, 636.0], [0.0, 704.0, 365.0], [0.0, 0.0, 1.0]]),
    np.array([-0.05, 0.02, 0.0004, 0.0005, 0.0]),
)
"""Of the cameras on the hands: 84 degrees wide."""

_READY = np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785])
_SPREAD = np.array([0.9, 0.5, 0.4, 0.5, 0.4, 0.5, 0.6])
_HANDED_OVER = np.array([0.0, 0.0, 0.225]), np.array([0.6, 0.45, 0.175])
"""[m] Where hands carry the box: the middle of that room and its half size."""
_INSIDE = 0.06
"""[m] Between the box's centre and the table's edge."""


def looking(position: tuple[float, float, float], target: tuple[float, float, float]) -> Array:
    """The pose (4, 4) of a camera at ``position`` that has ``target`` in its middle, upright."""
    forwards = np.subtract(target, position, dtype=float)
    forwards /= np.linalg.norm(forwards)
    right = np.cross(forwards, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return matrix(np.stack((right, np.cross(forwards, right), forwards), 1), position)


FIXED_CAMERAS = (
    CameraModel("front", LENS, "world", looking((-0.1, -1.1, 1.25), (0.0, 0.0, 0.03))),
    CameraModel("back", LENS, "world", looking((0.1, 1.1, 1.25), (0.0, 0.0, 0.03))),
)
"""On tripods at the two long sides of the table: what an arm hides from one, the other sees.
Both see all places that a cube is put at."""


def _on_hand(arm: str) -> CameraModel:
    right = np.array([0.0, -1.0, 0.0])
    forwards = np.array([-0.45, 0.0, 1.0]) / np.hypot(0.45, 1.0)
    pose = matrix(np.stack((right, np.cross(forwards, right), forwards), 1), (0.085, 0.0, -0.08))
    return CameraModel(f"{arm}-wrist", WRIST_LENS, arm, pose)


WRIST_CAMERAS = (_on_hand("left"), _on_hand("right"))
"""Beside the flange, looking along the fingers."""


@attrs.frozen(eq=False)
class Situation:
    """Joint positions (2, 7) [rad], widths (2,) [m] and the box's pose (4, 4), or None."""

    joints: Array
    widths: Array
    box: Array | None


def on_the_table(random: np.random.Generator, box: MarkedBox) -> Situation:
    """The box anywhere on the table, on any face; the arms somewhere above."""
    up = Rotation.create_group("O").as_matrix()[random.integers(24)]
    turn = exp((0, 0, random.uniform(-np.pi, np.pi))) @ up
    height = float(np.abs(turn[2]) @ np.array(box.size)) / 2
    while True:
        joints = _arms(random)
        place = np.array([*_on_top(random), height])
        hands = HandPoses.of(joints, (0.08, 0.08)).poses[:, :3, 3]
        if np.linalg.norm(hands - place, axis=-1).min() > 0.08:
            return Situation(joints, np.full(2, 0.08), matrix(turn, place))


def held(random: np.random.Generator, box: MarkedBox) -> Situation:
    """The box between the fingers of one of the arms."""
    arm = int(random.integers(2))
    width = min(box.size)
    while True:
        joints = _arms(random)
        hand = HandPoses.of(joints, (0.08, 0.08)).poses[arm]
        inside = (np.abs(hand[:3, 3] - _HANDED_OVER[0]) < _HANDED_OVER[1]).all()
        if inside and hand[2, 2] < -0.4:
            break
    axis = int(np.argmin(box.size))
    across = Rotation.create_group("O").as_matrix()
    fitting = across[np.abs(across[:, 1, axis]) > 0.5]  # its narrow side between the fingers
    turn = exp((0, random.uniform(-0.3, 0.3), 0)) @ fitting[random.integers(len(fitting))]
    grasp = matrix(turn, random.uniform(-0.005, 0.005, 3) * (1, 0, 1))
    widths = np.full(2, 0.08)
    widths[arm] = width
    return Situation(joints, widths, hand @ grasp)


def in_the_air(random: np.random.Generator, box: MarkedBox) -> Situation:
    """The box above the table, turned at random, as a person holds it."""
    while True:
        joints = _arms(random)
        place = np.array([*(0.8 * _on_top(random)), random.uniform(0.05, 0.4)])
        hands = HandPoses.of(joints, (0.08, 0.08)).poses[:, :3, 3]
        if np.linalg.norm(hands - place, axis=-1).min() > 0.15:
            turn = Rotation.random(random_state=random).as_matrix()
            return Situation(joints, np.full(2, 0.08), matrix(turn, place))


def below_a_hand(random: np.random.Generator, box: MarkedBox) -> Situation:
    """The box on the table where one of the hands approaches it."""
    arm = int(random.integers(2))
    while True:
        joints = _arms(random)
        hand = HandPoses.of(joints, (0.08, 0.08)).poses[arm]
        if hand[2, 2] < -0.8 and 0.06 < hand[2, 3] < 0.45:
            break
    place = np.array([*(hand[:2, 3] + random.uniform(-0.06, 0.06, 2)), box.size[2] / 2])
    turn = exp((0, 0, random.uniform(-np.pi, np.pi)))
    return Situation(joints, np.full(2, 0.08), matrix(turn, place))


SITUATIONS = {"table": on_the_table, "held": held, "air": in_the_air}
WRIST_SITUATIONS = {"below": below_a_hand, "held": held}


def _arms(random: np.random.Generator) -> Array:
    """Joint positions (2, 7) [rad] with the hands above the table and away from each other."""
    while True:
        joints = _READY + random.uniform(-1, 1, (2, 7)) * _SPREAD
        places = HandPoses.of(joints, (0.08, 0.08)).poses[:, :3, 3]
        if places[:, 2].min() > 0.06 and np.linalg.norm(places[0] - places[1]) > 0.25:
            return joints


def _on_top(random: np.random.Generator) -> Array:
    half = np.array(TABLE_SIZE) / 2 - _INSIDE
    while True:
        place = random.uniform(-half, half)
        if np.abs(np.abs(place[0]) - 0.65) > 0.17 or abs(place[1]) > 0.17:  # not in a base
            return place
