"""Calibrations of simulated cameras, as accurate as ``codi franka-calibrate`` makes them.

What a camera sees of the board is reckoned, with noise as it is left when corners are found; lens
and place are then fitted by what the command fits them with. Arms are taken to know exactly where
their hands are, and boards to be flat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.errors import CodiError
from codi_franka.vision.board import Board
from codi_franka.vision.calibrate import LensFit, Target, fit_lens, fit_place
from codi_franka.vision.calibration_file import Calibrated, CameraEntry, write_entries
from codi_franka.vision.camera_model import WORLD, CameraModel, Lens
from codi_franka.vision.hands import HandPoses
from codi_franka.vision.poses import difference, exp, inverse, matrix
from codi_franka.vision.uncertainty import AHEAD

Array = NDArray[np.float64]

NOISE = 0.2
"""[pixels] Of a corner that was found, standard deviation along each axis."""
LENS_PICTURES, POSTURES = 20, 15
"""As many as the docs ask for."""
_BOARD = Board()
_READY = np.tile([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785], (2, 1))
_FEWEST = 8
"""Corners of a board that is recognised."""
_FOCAL = 900.0
"""[pixels] Of a lens that sees 35 cm to both sides half a metre away."""
_SLANT = 0.35
"""The cosine between a flat target's axis and the line of sight; it is printed on one side only."""
_TRIES = 5000


def seen(
    camera_from_target: Array,
    points: Array,
    lens: Lens,
    random: np.random.Generator,
    noise: float = NOISE,
) -> Target | None:
    """What a camera sees of points of a target that are in its picture; None for too few.

    Args:
        camera_from_target: (4, 4).
        points: (n, 3) [m], in the target's frame.
        lens: of the camera.
        random: where chance comes from.
        noise: standard deviation [pixels].
    """
    there = points @ camera_from_target[:3, :3].T + camera_from_target[:3, 3]
    flat = not np.ptp(points[:, 2])
    if flat and camera_from_target[:3, 2] @ there.mean(0) < _SLANT * np.linalg.norm(there.mean(0)):
        return None
    if there[:, 2].min() < 0.05:
        return None
    pixels = lens.project(there)
    inside = ((pixels > 0) & (pixels < np.array(lens.size))).all(-1)
    if inside.sum() < _FEWEST:
        return None
    noisy = pixels[inside] + noise * random.standard_normal((inside.sum(), 2))
    return Target(points[inside], noisy)


def board_shots(
    lens: Lens, random: np.random.Generator, count: int = LENS_PICTURES, spread: float = 1.0
) -> list[Target]:
    """The board before a camera, tilted in all directions, near and far, in all corners.

    Args:
        lens: of the camera.
        random: where chance comes from.
        count: of the pictures.
        spread: how much of the picture it comes to see, as a share.
    """
    shots: list[Target] = []
    wide = _FOCAL / lens.focal
    while len(shots) < count:
        turn = exp(random.uniform(-0.6, 0.6, 3))
        place = (*random.uniform(-0.28, 0.18, 2) * spread * wide, random.uniform(0.35, 0.6))
        target = seen(matrix(turn, place), _BOARD.corners(), lens, random)
        if target is not None:
            shots.append(target)
    return shots


def arm_shots(
    camera: CameraModel,
    target: Array,
    points: Array,
    random: np.random.Generator,
    count: int = POSTURES,
    spread: float = 0.5,
) -> tuple[list[Array], list[Target]]:
    """Hands, as :func:`~codi_franka.vision.calibrate.fit_place` takes them, and what is seen.

    Args:
        camera: on a hand, which the target lies before, or fixed: then the left hand holds it.
        target: (4, 4), to the hand's frame or to the world's.
        points: (n, 3) of the target [m].
        random: where chance comes from.
        count: of the postures.
        spread: of the joints about their home [rad].

    Raises:
        CodiError: the camera hardly sees the target.
    """
    held, arm = camera.mount == WORLD, int(camera.mount == "right")
    hands: list[Array] = []
    shots: list[Target] = []
    for _ in range(_TRIES):
        joints = _READY + spread * random.uniform(-1, 1, _READY.shape)
        hand = HandPoses.of(joints, (0.08, 0.08)).poses[arm]
        transform = hand if held else inverse(hand)
        shot = seen(inverse(camera.pose) @ transform @ target, points, camera.lens, random)
        if shot is not None:
            hands.append(transform)
            shots.append(shot)
        if len(shots) == count:
            return hands, shots
    raise CodiError(f"camera '{camera.name}' hardly sees the target")


def calibrated(camera: CameraModel, random: np.random.Generator) -> CameraEntry:
    """A simulated camera's entry in a calibration file.

    Args:
        camera: as it truly is.
        random: where chance comes from.
    """
    lens = _lens(camera.lens, random)
    hands, shots = arm_shots(camera, _board_for(camera), _BOARD.corners(), random)
    place = fit_place(lens.lens, hands, shots)
    return CameraEntry(
        camera.name,
        lens.lens,
        Calibrated.now(lens.error, lens.pictures),
        camera.mount,
        place.camera,
        Calibrated.now(place.error, place.pictures, *attrs.astuple(place.leftover)),
    )


def _lens(lens: Lens, random: np.random.Generator) -> LensFit:
    """The lens, from more pictures if the first ones don't reach into the corners."""
    shots: list[Target] = []
    while True:
        shots += board_shots(lens, random)
        try:
            return fit_lens(shots, lens.size)
        except CodiError:
            continue


def _board_for(camera: CameraModel) -> Array:
    """Where the board is, (4, 4): in the left hand, or on the table before a hand."""
    if camera.mount != WORLD:
        side = -1.0 if camera.mount == "left" else 1.0
        return matrix(exp((np.pi, 0, 0)) @ exp((0, 0, 0.3)), (0.25 * side, 0.1, 0.0))
    # Held so that the camera sees it from the front when the hand is at home.
    home = HandPoses.of(_READY, (0.08, 0.08)).poses[0]
    turn = home[:3, :3].T @ camera.pose[:3, :3]
    return matrix(turn, -turn @ (_BOARD.extent[0] / 2, _BOARD.extent[1] / 2, 0.0))


@attrs.frozen
class CalibrationError:
    """How far a calibration is from what it was made of.

    Attributes:
        millimetres: of the camera's place.
        degrees: of its direction.
        claimed_mm: what it says of its place itself.
        claimed_degrees: and of its direction.
        pixels: between where a point is seen and where the calibration puts it, root mean square
            over the picture, for points a metre away.
        claimed_pixels: what it says of that.
    """

    millimetres: float
    degrees: float
    claimed_mm: float
    claimed_degrees: float
    pixels: float
    claimed_pixels: float

    @classmethod
    def of(cls, entry: CameraEntry, camera: CameraModel) -> CalibrationError:
        """Compare with the true camera."""
        model = entry.model()
        step = difference(model.pose, camera.pose)
        off = model.lens.project(_before(model.pose, camera)) - camera.lens.project(AHEAD)
        return cls(
            millimetres=round(1000 * float(np.linalg.norm(step[:3])), 3),
            degrees=round(float(np.degrees(np.linalg.norm(step[3:]))), 4),
            claimed_mm=round(1000 * model.position_std, 3),
            claimed_degrees=round(float(np.degrees(model.rotation_std)), 4),
            pixels=round(float(np.sqrt((off**2).sum(-1).mean())), 3),
            claimed_pixels=round(model.pixels_std, 3),
        )


def _before(pose: Array, camera: CameraModel) -> Array:
    """The points :data:`AHEAD` of a camera, in the frame of one that is at ``pose``."""
    moved = inverse(pose) @ camera.pose
    return np.asarray(AHEAD @ moved[:3, :3].T + moved[:3, 3])


def write_calibration(
    path: Path, cameras: Sequence[CameraModel], random: np.random.Generator
) -> Mapping[str, CalibrationError]:
    """Write the file that ``codi franka-calibrate`` would have; how far it is off, by camera."""
    entries = {camera.name: calibrated(camera, random) for camera in cameras}
    write_entries(path, entries)
    return {camera.name: CalibrationError.of(entries[camera.name], camera) for camera in cameras}
