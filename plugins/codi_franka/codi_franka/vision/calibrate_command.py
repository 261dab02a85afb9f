"""``codi franka-calibrate``: record pictures, measure lenses and places, and show the file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from codi_core.commands.errors import Main, guarded, print_warning
from codi_core.commands.options import Parser
from codi_core.commands.output import say, show
from codi_core.errors import CodiError, UsageError
from codi_core.quantities import positive
from codi_franka.robot.cell import ARMS
from codi_franka.vision.board import Board
from codi_franka.vision.calibrate import Target, fit_lens, fit_place
from codi_franka.vision.calibration_file import (
    WORST_PIXELS,
    Calibrated,
    CameraEntry,
    complaints,
    read_entries,
    write_entries,
)
from codi_franka.vision.cameras import OpenCvCamera, Shot, read_shots, record
from codi_franka.vision.detection import MarkerDetector
from codi_franka.vision.hands import HandPoses
from codi_franka.vision.markers import CUBE
from codi_franka.vision.poses import inverse

ReadJoints = Callable[[], NDArray[np.float64]]
OpenArms = Callable[[str], ReadJoints]
"""From addresses, ``left=IP,right=IP``, to a function that reads joint positions (2, 7) [rad]."""

PROG = "codi franka-calibrate"
FILE = Path("franka-cameras.json")


def make_main(open_arms: OpenArms) -> Main:
    """The command, with what it reads the arms with."""

    @guarded
    def main(argv: Sequence[str] | None = None) -> int:
        given = _parser().parse_args(argv)
        actions = {"record": lambda g: _record(g, open_arms), "lens": _lens, "place": _place}
        actions.get(given.action, _show)(given)
        return 0

    return main


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Measure the cameras that see the cube: first record pictures of the board, "
        "then measure each lens, then each camera's place with pictures for which an arm moved.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    record = actions.add_parser("record", prog=f"{PROG} record", help="take pictures into a folder")
    _common(record)
    record.add_argument("--source", default="0", help="a device's number, an address or a file")
    record.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar="PIXELS")
    record.add_argument(
        "--arms",
        metavar="left=IP,right=IP",
        help="whose joint positions are recorded; needed to measure a place",
    )
    record.add_argument("--shots", type=Path, required=True, metavar="DIR", help="the folder")
    lens = actions.add_parser("lens", prog=f"{PROG} lens", help="measure a lens with the board")
    place = actions.add_parser("place", prog=f"{PROG} place", help="measure where a camera is")
    for measuring in (lens, place):
        _common(measuring)
        measuring.add_argument("--shots", type=Path, required=True, metavar="DIR")
        measuring.add_argument("--square", type=positive, default=30.0, metavar="MM")
        _add_file(measuring)
    place.add_argument(
        "--mount",
        choices=("world", *ARMS),
        required=True,
        help="what the camera is fixed to: the world, or the hand of an arm",
    )
    place.add_argument(
        "--held-by",
        choices=ARMS,
        help="for a camera that is fixed to the world: the hand that holds the target",
    )
    place.add_argument(
        "--target",
        choices=("board", "cube"),
        default="board",
        help="what the pictures show: the board, or the marked cube (default: board)",
    )
    _add_file(actions.add_parser("show", prog=f"{PROG} show", help="show what was measured"))
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--camera", required=True, metavar="NAME", help="as you call the camera")


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--file", type=Path, default=FILE, help="the calibration (default: %(default)s)"
    )


def _record(given: argparse.Namespace, open_arms: OpenArms) -> None:

    read_joints = open_arms(given.arms) if given.arms else None
    source = int(given.source) if given.source.isdigit() else given.source
    camera = OpenCvCamera(given.camera, source, tuple(given.size))
    say("Enter takes a picture, Ctrl-D ends. Let arms and target come to rest first.")
    try:
        while True:
            try:
                input()
            except EOFError:
                break
            frame = camera.read()
            joints = None if read_joints is None else read_joints().tolist()
            say(f"{record(given.shots, [(frame, joints)])} pictures in '{given.shots}'")
    finally:
        camera.close()


def _lens(given: argparse.Namespace) -> None:

    shots = _shots(given)
    first = shots[0].image
    targets = [_target(shot, given, "board") for shot in shots]
    fit = fit_lens(targets, (first.shape[1], first.shape[0]))
    _check_error(fit.error)
    entries = read_entries(given.file)
    measured = Calibrated.now(fit.error, fit.pictures)
    entries[given.camera] = CameraEntry(given.camera, fit.lens, measured)
    write_entries(given.file, entries)
    say(
        f"{given.camera}: focal length {fit.lens.focal:.1f} pixels, error {fit.error:.2f} pixels "
        f"in {fit.pictures} pictures; wrote '{given.file}'. Its place must be measured next"
    )


def _place(given: argparse.Namespace) -> None:

    entries = read_entries(given.file)
    if given.camera not in entries:
        raise UsageError(
            f"the lens of camera '{given.camera}' must be measured first: `{PROG} lens`"
        )
    entry, shots = entries[given.camera], _shots(given)
    targets = [_target(shot, given, given.target) for shot in shots]
    fit = fit_place(entry.lens, [_hand(shot, given) for shot in shots], targets)
    _check_error(fit.error)
    measured = Calibrated.now(fit.error, fit.pictures, *attrs.astuple(fit.leftover))
    entries[given.camera] = attrs.evolve(
        entry, mount=given.mount, pose=fit.camera, place_measured=measured
    )
    write_entries(given.file, entries)
    say(
        f"{given.camera}: error {fit.error:.2f} pixels in {fit.pictures} pictures, so its place is "
        f"known to {_known(measured)}; wrote '{given.file}'"
    )


def _known(place: Calibrated) -> str:
    return (
        f"{1000 * place.position_std:.1f} mm, {np.degrees(place.rotation_std):.2f} degrees, and "
        f"points a metre away to {place.pixels_std:.2f} pixels"
    )


def _shots(given: argparse.Namespace) -> list[Shot]:

    shots = [shot for shot in read_shots(given.shots) if shot.camera == given.camera]
    if not shots:
        raise UsageError(f"'{given.shots}' holds no pictures of a camera '{given.camera}'")
    return shots


def _target(shot: Shot, given: argparse.Namespace, what: str) -> Target:

    if what == "board":
        board = Board(square=given.square / 1000)
        numbers, pixels = board.find(shot.image)
        return Target(board.corners()[numbers], pixels)
    seen = MarkerDetector().find(shot.image)
    return Target(CUBE.corners()[seen.markers].reshape(-1, 3), seen.corners.reshape(-1, 2))


def _hand(shot: Shot, given: argparse.Namespace) -> NDArray[np.float64]:

    if shot.joints is None:
        raise CodiError(f"'{given.shots}' doesn't say where the arms were: record it with --arms")
    arm = given.mount if given.mount != "world" else given.held_by
    if arm is None:
        raise UsageError("say with --held-by which hand holds the target")
    pose = HandPoses.of(shot.joints, (0.0, 0.0)).poses[ARMS.index(arm)]
    if not np.isfinite(pose).all():
        raise CodiError(f"'{given.shots}' doesn't say where the {arm} arm was: name it with --arms")
    return pose if given.mount == "world" else inverse(pose)


def _check_error(error: float) -> None:

    if error > WORST_PIXELS:
        raise CodiError(
            f"the error is {error:.1f} pixels, more than {WORST_PIXELS:g}: nothing was written. Is "
            "the board flat and its size right (--square), did something move, are pictures sharp?"
        )


def _show(given: argparse.Namespace) -> None:

    entries = read_entries(given.file)
    if not entries:
        raise CodiError(f"'{given.file}' names no cameras yet: begin with `{PROG} record`")
    table = Table("camera", "lens", "error [px]", "mounted on", "error [px]", "place known to")
    for name, entry in entries.items():
        lens, place = entry.lens_measured, entry.place_measured
        row = [name, f"{lens.date[:10]}", f"{lens.error:.2f}"]
        if place is None:
            row += ["not measured", "", ""]
        else:
            known = f"{_known(place)} ({place.date[:10]})"
            row += [str(entry.mount), f"{place.error:.2f}", known]
        table.add_row(*row)
    show(table)
    for complaint in complaints(entries):
        print_warning(complaint)
