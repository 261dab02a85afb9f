"""Hostile commands through the safety layer, over the wire, to arms that stop at any violation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.errors import CodiError
from codi_franka.hardware.arms.franky_links import ArmSettings, FrankyArm
from codi_franka.hardware.arms.link import ArmError
from codi_franka.hardware.bench.peers import FOLDER, Peer, checkout, environment
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.robot.controller import HOME

Array = NDArray[np.float64]

HOSTS = {"left": "127.0.0.1", "right": "127.0.0.2"}
PERIOD = 0.01
LENGTH = 16
"""[periods] Of one sequence."""


@attrs.frozen
class StrictRun:
    """What came of hostile commands.

    Attributes:
        sequences: how many were sent.
        stops: how often the safety layer brought both arms to rest.
        faults: what made an arm stop by itself.
    """

    sequences: int
    stops: int
    faults: tuple[str, ...]


def sequences(seed: int) -> Iterator[Array]:
    """Wanted joint velocities, (LENGTH, 2, 7) [rad/s], each hostile in another way."""
    random = np.random.default_rng(seed)
    shape = (LENGTH, 2, 7)
    while True:
        sign = np.where(np.arange(LENGTH) % 2, 1.0, -1.0)[:, None, None]
        steady = np.broadcast_to(random.normal(scale=2.0, size=(2, 7)), shape)
        burst = np.where(random.random(shape) < 0.2, 1e6, 0.0) * random.choice((-1.0, 1.0), shape)
        broken = random.normal(size=shape)
        broken[LENGTH // 2] = random.choice((np.nan, np.inf, -np.inf))
        yield from (random.normal(scale=5.0, size=shape), 3.0 * sign * np.ones(shape), steady)
        yield from (burst, np.zeros(shape), np.full(shape, random.choice((-9.0, 9.0))), broken)


def strict_setup(root: Path) -> dict[str, Any]:
    """What the strict peer is told: its model is that of the other peer's package."""
    environment("physics", root)
    found = sorted((root / FOLDER / "physics").glob("lib/python*/site-packages/franky_sim/assets"))
    if not found:
        raise CodiError("franky-sim has no model of the arm: remove .peers/physics and try again")
    model = {"model": str(found[0] / "fr3.xml"), "meshes": str(found[0] / "meshes")}
    return {"home": list(HOME), **model}


def strict_run(count: int, seed: int, slowdown: float) -> StrictRun:
    """Send hostile sequences to both strict arms.

    Args:
        count: how many sequences.
        seed: of what is random in them.
        slowdown: about how many real seconds a second of the arms takes.
    """
    root, faults, stops = checkout(), [], 0
    with Peer("strict", "strict.py", strict_setup(root), root):
        clock = ArmClock(slowdown)
        arms = [FrankyArm(*each, ArmSettings(realtime=False), clock) for each in HOSTS.items()]
        clock.sleep(0.2)
        judge = SafetyLayer(SafetySettings(stop_seconds=0.17), PERIOD)
        judge.reset([arm.read(clock.seconds()) for arm in arms])
        for _, wanted in zip(range(count), sequences(seed), strict=False):
            for velocities in wanted:
                readings = [arm.read(clock.seconds()) for arm in arms]
                verdict = judge.admit(velocities, readings)
                faults += _send(arms, verdict.velocities)
                if verdict.stop and judge.at_rest:
                    stops += 1
                    clock.sleep(0.1)
                    judge.reset([arm.read(clock.seconds()) for arm in arms])
                clock.sleep(PERIOD)
        for arm in arms:
            arm.close()
    return StrictRun(count, stops, tuple(faults))


def _send(arms: list[FrankyArm], velocities: Array) -> list[str]:
    """What goes wrong when both arms are sent their velocities; errors are cleared."""
    faults = []
    for arm, velocity in zip(arms, velocities, strict=True):
        try:
            arm.send(velocity)
        except ArmError as error:
            faults.append(str(error))
            arm.recover()
    return faults
