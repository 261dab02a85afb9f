"""Hostile commands through the safety layer, over the wire, to arms that stop at any violation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.errors import CodiError
from codi_franka.hardware.arms.franky_links import ArmSettings, FrankyArm
from codi_franka.hardware.arms.link import ArmError, ArmLink
from codi_franka.hardware.bench.peers import FOLDER, checkout, environment, peer
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.homing import go_home
from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.hardware.trials.hostile import KINDS
from codi_franka.robot.controller import HOME

Array = NDArray[np.float64]

HOSTS = {"left": "127.0.0.1", "right": "127.0.0.2"}
PERIOD = 0.01
SECONDS = 0.16
"""[s] Of one sequence."""

SETTLED, AGREEING = 0.005, 5
"""[rad] So near to where their own control wants them arms must be, for so many periods. Their
velocities don't count: one of the peer's joints shivers by a tenth of a milliradian."""
PATIENCE = 5.0
"""[s] Within which arms must settle, or come to rest."""
RECOVERING = 0.3
"""[s] For which an arm that has stopped by itself stands before its error is cleared."""


@attrs.define
class StrictRun:
    """What came of hostile commands.

    Attributes:
        sequences: how many were sent.
        commands: how many velocities to each arm.
        stops: how often the safety layer brought both arms to rest by itself, by kind of sequence.
        faults: what made an arm stop by itself, with the kind of the sequence.
    """

    sequences: int = 0
    commands: int = 0
    stops: Counter[str] = attrs.field(factory=Counter)
    faults: list[str] = attrs.field(factory=list)

    @property
    def summary(self) -> str:
        """In a few words."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.stops.items())
        return (
            f"{self.sequences} hostile sequences, {self.commands} commands to each arm: "
            f"{self.stops.total()} times the safety layer stopped both arms"
            f"{f' ({kinds})' if kinds else ''}, {len(self.faults)} times an arm stopped by itself"
        )


def strict_setup(root: Path, slowdown: float = 1.0) -> dict[str, Any]:
    """What the strict peer is told: its model is that of the other peer's package.

    Args:
        root: the checkout.
        slowdown: how many real seconds a second of the arms takes.
    """
    environment("physics", root)
    found = sorted((root / FOLDER / "physics").glob("lib/python*/site-packages/franky_sim/assets"))
    if not found:
        raise CodiError("franky-sim has no model of the arm: remove .peers/physics and try again")
    model = {"model": str(found[0] / "fr3.xml"), "meshes": str(found[0] / "meshes")}
    return {"home": list(HOME), "slowdown": slowdown, **model}


def strict_run(
    count: int,
    seed: int,
    slowdown: float,
    tell: Callable[[StrictRun], None] = lambda found: None,
) -> StrictRun:
    """Send the sequences of :data:`~codi_franka.hardware.trials.hostile.KINDS` to both strict arms.

    Args:
        count: how many sequences; the kinds in turn.
        seed: of what is random in them.
        slowdown: about how many real seconds a second of the arms takes.
        tell: called with what was found so far, after each sequence.
    """
    root = checkout()
    with peer("strict", "strict.py", strict_setup(root, slowdown), root):
        clock, settings = ArmClock(slowdown), ArmSettings(realtime=False)
        wired = WiredArms([FrankyArm(*each, settings) for each in HOSTS.items()], clock)
        try:
            found = StrictRun()
            for number in range(count):
                kind = list(KINDS)[number % len(KINDS)]
                wired.run(kind, np.random.default_rng((seed, number)), found)
                tell(found)
        finally:
            wired.close()
    return found


class WiredArms:
    """Two arms behind the safety layer, as hostile commands see them.

    Args:
        arms: left and right.
        clock: their seconds.

    Attributes:
        period: between commands [s].
        silent: whether the safety layer gets to see nothing new.
    """

    def __init__(self, arms: Sequence[ArmLink], clock: ArmClock) -> None:
        self.period, self.silent = PERIOD, False
        self._arms, self._clock = arms, clock
        self._judge = SafetyLayer(SafetySettings(stop_seconds=0.17), PERIOD)
        self._latest: Sequence[ArmReading] = ()
        self._stopped: list[ArmLink] = []
        for arm in arms:
            clock.follow(arm.told)

    @property
    def positions(self) -> Array:
        """(2, 7) where they are, as far as is known [rad]."""
        return np.stack([reading.joint_positions for reading in self._latest])

    def run(self, kind: str, random: np.random.Generator, found: StrictRun) -> None:
        """Send one sequence, then stop both arms; its findings are added.

        A sequence in which an arm stops by itself ends there, and the arms go home: where they
        stand, the next one would meet what stopped them.
        """
        self._judge.reset(self._settled())
        commands = KINDS[kind](random, self)
        for _ in range(round(SECONDS / PERIOD)):
            self._send(next(commands), kind, found)
            if self._stopped:
                break
        if self._judge.stop_reason is not None:
            found.stops[kind] += 1
        self._judge.stop("the sequence is over")
        until = self._clock.seconds() + PATIENCE
        while not self._judge.at_rest and self._clock.seconds() < until:
            self._send(np.zeros((2, 7)), kind, found)
        found.sequences += 1
        if self._stopped:
            self._clear()

    def close(self) -> None:
        """Leave the arms alone."""
        for arm in self._arms:
            self._clock.leave(arm.told)
            arm.close()

    def _send(self, wanted: object, kind: str, found: StrictRun) -> None:
        readings = self._read()
        if not self.silent:
            self._latest = readings
        now = self._clock.seconds()
        verdict = self._judge.admit(wanted, self._latest, now)  # type: ignore[arg-type]  # the point
        for arm, velocity in zip(self._arms, verdict.velocities, strict=True):
            if arm in self._stopped:
                continue
            try:
                arm.send(velocity)
            except ArmError as error:
                found.faults.append(f"{kind}: {error}")
                self._stopped.append(arm)
        found.commands += 1
        self._clock.sleep(PERIOD)

    def _clear(self) -> None:
        """Clear the errors of arms that have stopped by themselves, and bring both home."""
        self._clock.sleep(RECOVERING)
        for arm in self._stopped:
            if not arm.recover():
                raise CodiError(f"the {arm.name} arm's error can't be cleared")
        self._stopped.clear()
        self._settled()
        go_home(self._arms, self._clock)

    def _read(self) -> list[ArmReading]:
        return [arm.read(self._clock.seconds()) for arm in self._arms]

    def _settled(self) -> list[ArmReading]:
        """What both tell when they have caught up with what they were told.

        Raises:
            CodiError: they don't within :data:`PATIENCE`.
        """
        self.silent, agreeing, until = False, 0, self._clock.seconds() + PATIENCE
        while True:
            self._latest = readings = self._read()
            behind = [each.joint_positions - each.desired_positions for each in readings]
            farthest = float(np.abs(behind).max())
            agreeing = agreeing + 1 if farthest < SETTLED else 0
            if agreeing == AGREEING:
                return readings
            if self._clock.seconds() > until:
                raise CodiError(
                    f"after {PATIENCE:g} s the simulated arms are still {farthest:.3f} rad from "
                    "where they were sent: choose a larger --slowdown"
                )
            self._clock.sleep(PERIOD)
