"""The driver ``fr3``: two arms, from its options to a plant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from codi_core.errors import PlantError, UsageError
from codi_core.resources import Resources
from codi_core.tasks import Plant, TaskParts
from codi_franka.handoff.options import HandoffOptions
from codi_franka.hardware.arms.franky_links import (
    ArmSettings,
    FrankyArm,
    FrankyHand,
    HandSettings,
)
from codi_franka.hardware.arms.gripper_worker import GripperWorker
from codi_franka.hardware.arms.link import ArmError, ArmLink
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.cube import CubeSource, PeerCube
from codi_franka.hardware.dry_run import dry_run as simulate_from
from codi_franka.hardware.homing import AT_HOME, distance, go_home
from codi_franka.hardware.plant import Cell, FrankaPlant, seen_hands
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import SafetySettings, safety_settings
from codi_franka.hardware.simulated_cell import Address, Witness
from codi_franka.hardware.stream import StreamSettings
from codi_franka.robot.box import Box
from codi_franka.robot.cell import ARMS
from codi_franka.vision.extra import require_vision

if TYPE_CHECKING:  # it needs codi-franka[vision]
    from codi_franka.vision.cameras import Camera

PEER_PORT = 14000
"""Where a simulated cell tells where its cube is, unless it was told otherwise."""
PATIENCE = 10.0
"""[s] Within which cameras must have seen the cube before a run."""
_LOOK_AGAIN = 0.05
"""[s]"""


def fr3(
    parts: TaskParts,
    resources: Resources,
    left: str,
    right: str,
    cube: str = "auto",
    cameras: str = "",
    home: bool = False,
    dry_run: bool = False,
    safety: str = "full",
    force: float = 80.0,
    slowdown: float = 1.0,
    period: float = 0.01,
    truth: int = 0,
    look_around: bool = True,
) -> Plant:
    """Two FR3 arms with Franka hands; see ``docs/hardware``.

    Args:
        parts: of the task.
        resources: what is random derives from their seed.
        left: the left arm's address.
        right: the right arm's.
        cube: where the cube's pose comes from: a calibration file, whose cameras track it, or
            ``peer:PORT`` of a simulated cell.
        cameras: the devices of the file's cameras, ``NAME@DEVICE;NAME@DEVICE``; ``peer:PORT`` is
            one that a simulated cell draws pictures for.
        home: whether the arms go to where episodes start by themselves, slowly.
        dry_run: look where everything is, and simulate from there; nothing moves.
        safety: the name of the safety settings; ``first-run`` moves at a tenth of the speed.
        force: at which both arms stop [N].
        slowdown: about how many real seconds a second of simulated arms takes.
        period: between two commands [s].
        truth: the port at which a simulated cell tells where its cube is: how far estimates are
            from there becomes an event, and the run ends when the cell says so.
        look_around: whether arms whose hands carry all cameras turn to and fro, slowly, when they
            have not seen the cube for some seconds; without, or with other cameras, they wait.

    Raises:
        UsageError: an option that can't be.
        PlantError: an arm, a hand or what tells about the cube does not answer.
    """
    if not isinstance(parts.options, HandoffOptions):
        raise UsageError("the driver 'fr3' is for the task 'franka-handoff'")
    hosts = dict(zip(ARMS, (left, right), strict=True))
    clock, settings = ArmClock(slowdown), with_force(safety_settings(safety), force)
    if slowdown != 1.0:
        print(f"simulated arms: a second of theirs takes about {slowdown:g} s, or more")
    with ExitStack() as opened:
        source = cube_source(cube, cameras, hosts, clock, resources.seed, parts.options.handed)
        opened.callback(source.close)
        witness = Witness(("127.0.0.1", truth), clock) if truth else None
        if witness is not None:
            opened.callback(witness.close)
        arms, hands = connect(hosts, clock, settings, opened)
        if home and not dry_run:
            go_home(arms, clock)
        away = distance([arm.read(clock.seconds()) for arm in arms])
        if away > AT_HOME:
            raise PlantError(
                f"the arms are {away:.2f} rad from where episodes start: bring them there with "
                "`codi franka-home`"
            )
        wait_for_cube(source, arms, hands, clock)
        judge = judge_of(settings, period)
        looks = look_around and source.on_hands
        cell = Cell(arms, hands, source, judge, clock, StreamSettings(period), witness, looks)
        plant = FrankaPlant(cell, parts.options)
        plant.closing.push(opened.pop_all())
    return simulate_from(plant, parts, resources) if dry_run else plant


def judge_of(settings: SafetySettings, period: float) -> SafetyLayer:
    """The safety layer of arms that are driven by :class:`FrankyArm`.

    What smooths its commands takes some of the time within which arms must be at rest.
    """
    shorter = settings.stop_seconds - ArmSettings().smoothing
    return SafetyLayer(attrs.evolve(settings, stop_seconds=shorter), period)


def with_force(settings: SafetySettings, force: float) -> SafetySettings:
    """Settings that stop both arms at another force [N], with all that belongs to it in proportion.

    A cube's edge under a finger takes 40 N in no time. 80 N is below the 140 N that ISO/TS 15066
    allows for clamping a hand or fingers.

    Raises:
        UsageError: there is no such force.
    """
    if not 30.0 <= force <= 100.0:
        raise UsageError(f"--driver fr3:force={force:g}: a force to stop at is from 30 to 100 N")
    share = force / settings.stop_force
    return attrs.evolve(
        settings,
        stop_force=force,
        reflex_force=share * settings.reflex_force,
        stop_torques=tuple(share * torque for torque in settings.stop_torques),
        reflex_torque=share * settings.reflex_torque,
    )


def connect(
    hosts: Mapping[str, str], clock: ArmClock, settings: SafetySettings, opened: ExitStack
) -> tuple[list[FrankyArm], list[GripperWorker]]:
    """Both arms and the workers of their hands.

    Args:
        hosts: the arms' addresses by their names.
        clock: the arms' seconds.
        settings: where the arms' own reflexes begin.
        opened: closes the hands in the end; whoever streams closes the arms.

    Raises:
        PlantError: one does not answer.
    """
    driven = ArmSettings(
        realtime=not simulated(hosts),
        torque_threshold=settings.reflex_torque,
        force_threshold=settings.reflex_force,
    )
    try:
        # All before anything moves: an arm that connects disturbs one that moves.
        arms = [FrankyArm(name, host, driven) for name, host in hosts.items()]
        links = [FrankyHand(name, host, HandSettings()) for name, host in hosts.items()]
    except ArmError as error:
        raise PlantError(f"{error}: `codi franka-check` says what is in the way") from error
    hands = [GripperWorker(name, link, clock) for name, link in zip(hosts, links, strict=True)]
    for hand in hands:
        opened.callback(hand.close)
    return arms, hands


def wait_for_cube(
    source: CubeSource,
    arms: Sequence[ArmLink],
    hands: Sequence[GripperWorker],
    clock: ArmClock,
    patience: float = PATIENCE,
) -> bool:
    """Wait until it is known where the cube is; cameras need a while for their first pictures.

    Args:
        source: what tells.
        arms: left and right, at rest.
        hands: the workers of their hands.
        clock: the arms' seconds.
        patience: for how long [s].

    Returns:
        Whether it is known.
    """
    until = clock.seconds() + patience
    while True:
        now = clock.seconds()
        if source.estimate(now, seen_hands([arm.read(now) for arm in arms], hands)).status.usable:
            return True
        if now > until:
            return False
        clock.sleep(_LOOK_AGAIN)


def simulated(hosts: Mapping[str, str]) -> bool:
    """Whether arms are simulated on this machine: real ones have no such addresses."""
    return all(host.startswith("127.") for host in hosts.values())


def cube_source(
    text: str, cameras: str, hosts: Mapping[str, str], clock: ArmClock, seed: int, box: Box
) -> CubeSource:
    """What tells where the cube is, by the driver's options.

    Raises:
        UsageError: there is no such thing.
        PlantError: it does not answer.
        CodiError: no calibration, or a camera that can't be opened.
    """
    kind, _, port = text.partition(":")
    if kind == "peer" or (text == "auto" and simulated(hosts)):
        if not (port or str(PEER_PORT)).isdigit():
            raise UsageError(f"--driver fr3:cube={text}: the port must be a number")
        address = ("127.0.0.1", int(port or PEER_PORT))
        return _peer_cube(address, clock, seed, box)
    if text == "auto" or not cameras:
        raise UsageError(
            "cameras must tell where the cube is: write --driver "
            "fr3:...,cube=CALIBRATION_FILE,cameras=NAME@DEVICE;NAME@DEVICE. `codi "
            "franka-calibrate` makes the file"
        )
    return _tracked(Path(text), _devices(cameras), clock, box)


def _peer_cube(address: Address, clock: ArmClock, seed: int, box: Box) -> PeerCube:
    """The cube of a simulated cell, as the project's tracker would see it."""
    require_vision()
    from codi_franka.vision.measured import MeasuredErrors

    return PeerCube(address, MeasuredErrors(), clock, seed, box)


def _devices(text: str) -> dict[str, int | str]:
    """Cameras' devices by their names."""
    pairs = [part.partition("@") for part in text.split(";")]
    if not all(name and device for name, _, device in pairs):
        raise UsageError(f"--driver fr3:cameras={text}: write NAME@DEVICE;NAME@DEVICE")
    return {name: int(device) if device.isdigit() else device for name, _, device in pairs}


def _tracked(path: Path, devices: Mapping[str, int | str], clock: ArmClock, box: Box) -> CubeSource:
    """The cube, followed with the cameras of a calibration file."""
    require_vision()
    from codi_franka.vision.markers import MarkedBox
    from codi_franka.vision.tracking import track_with

    return track_with(path, devices, clock.seconds, MarkedBox.fitting(box.size), _opening)


def _opening(
    name: str, device: int | str, size: tuple[int, int], clock: Callable[[], float]
) -> Callable[[], Camera]:
    """What opens a camera: a real one, or one of a simulated cell."""
    from codi_franka.hardware.picture_link import RenderedCamera
    from codi_franka.vision.tracking import opencv

    kind, _, port = str(device).partition(":")
    if kind != "peer":
        return opencv(name, device, size, clock)
    if not port.isdigit():
        raise UsageError(f"--driver fr3:cameras={name}@{device}: the port must be a number")
    return partial(RenderedCamera, name, ("127.0.0.1", int(port)), size, clock)
