"""Where faults happen: the strict peer, a network that can be made bad, and the driver's parts."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from codi_core.errors import CodiError
from codi_core.execution import PlanMaker, ProcessWorker
from codi_core.tasks import EpisodeKey, Plant
from codi_franka.handoff.options import HandoffOptions
from codi_franka.hardware.bench.faults import network
from codi_franka.hardware.bench.faults.drawn_camera import DrawnCamera
from codi_franka.hardware.bench.peers import Program, checkout, peer
from codi_franka.hardware.bench.strict import strict_setup
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.driver import connect, judge_of, wait_for_cube
from codi_franka.hardware.plant import Cell, FrankaPlant
from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import safety_settings
from codi_franka.hardware.safety.verdict import Verdict
from codi_franka.hardware.stream import StreamSettings
from codi_franka.hardware.trials.sideways import Sideways
from codi_franka.robot.cell import ARMS
from codi_franka.vision.measuring.drawn import BACK, FRONT
from codi_franka.vision.tracking import TrackedCube

Array = NDArray[np.float64]

PEERS = ("127.0.0.11", "127.0.0.12")
"""Where the arms are; other addresses than other jobs', which may run beside this one."""
HOSTS = dict(zip(ARMS, ("127.0.1.11", "127.0.1.12"), strict=True))
"""Where the network lets the driver connect."""
SPEED, TURNS = 0.2, 4
"""[m/s] How fast hands go to and fro, and after how many plans of 0.4 s they turn."""
PATIENCE = 20.0
"""[s] Within which the cube must be seen."""


class JumpingSeconds:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self._offset = 0.0

    def __call__(self) -> float:
        """The time [s]."""
        return time.monotonic() + self._offset

    def jump(self, seconds: float) -> None:
        """Set it forward, or back."""
        self._offset += seconds


@attrs.frozen
class Period:
    """One period of the stream, as the safety layer saw it.

    Attributes:
        real: when [s], ``time.monotonic()``.
        standing: whether the arms were to stand: a stop, or nothing that is wanted.
        speeds: of each arm's fastest joint, as sent [rad/s].
    """

    real: float
    standing: bool
    speeds: tuple[float, ...]


class NotedLayer:
    """A safety layer whose answers are kept.

    Args:
        layer: the layer.

    Attributes:
        periods: what it has answered so far.
    """

    def __init__(self, layer: SafetyLayer) -> None:
        self._layer = layer
        self.periods: list[Period] = []

    @property
    def stop_reason(self) -> str | None:
        """Why it stops."""
        return self._layer.stop_reason

    @property
    def at_rest(self) -> bool:
        """Whether both arms have been told to stand still."""
        return self._layer.at_rest

    def reset(self, readings: Sequence[ArmReading]) -> None:
        """Both arms are at rest there."""
        self._layer.reset(readings)

    def admit(
        self, wanted: ArrayLike, readings: Sequence[ArmReading], now: float | None = None
    ) -> Verdict:
        """What may be sent now."""
        moment = time.monotonic()
        verdict = self._layer.admit(wanted, readings, now)
        speeds = np.abs(verdict.velocities).max(-1)
        standing = verdict.stop or not np.any(wanted)
        self.periods.append(Period(moment, bool(standing), tuple(speeds.tolist())))
        return verdict

    def stop(self, reason: str) -> None:
        """Bring both arms to rest."""
        self._layer.stop(reason)


def sideways_maker() -> PlanMaker:
    """In the process that plans."""
    return PlanMaker(Sideways(speed=SPEED, turns=TURNS), None)


class Site:
    """Everything that can go wrong, in order; a context manager.

    Args:
        slowdown: about how many real seconds a second of the arms takes.
        safety: the name of the safety settings.
        folder: gets what passed the network.
        worker: the process that plans.
        seed: of what is random in the network.

    Attributes:
        arms: the peer's program.
        network: the network's.
        seconds: real seconds, which can be set.
        clock: the arms' seconds.
        cameras: by name.
        episodes: how many have begun.
        driven: the plant of the latest one.
        layer: its safety layer.
    """

    def __init__(
        self, slowdown: float, safety: str, folder: Path, worker: ProcessWorker, seed: int
    ) -> None:
        self.slowdown, self.settings, self.worker = slowdown, safety_settings(safety), worker
        self._closing = ExitStack()
        self.seconds, self.episodes = JumpingSeconds(), 0
        self.clock = ArmClock(slowdown, monotonic=self.seconds)
        self.cameras = {model.name: DrawnCamera(model, self.clock) for model in (FRONT, BACK)}
        try:
            self._start(folder, seed)
        except BaseException:
            self._closing.close()
            raise

    arms: Program
    network: Program
    driven: FrankaPlant | None = None
    layer: NotedLayer | None = None

    def plant(self, keys: Sequence[EpisodeKey]) -> Plant:
        """The driver's plant, connected anew, as soon as the cube is seen.

        Raises:
            CodiError: it is not, or an arm does not answer.
        """
        # An arm serves one client at a time, so that nobody may keep the last one.
        self.driven, self.layer = None, None
        self.clock = ArmClock(self.slowdown, monotonic=self.seconds)
        for camera in self.cameras.values():
            camera.clock = self.clock
        gc.collect()
        with ExitStack() as opened:
            arms, hands = connect(HOSTS, self.clock, self.settings, opened)
            opening = {name: partial(_same, camera) for name, camera in self.cameras.items()}
            cube = TrackedCube([FRONT, BACK], opening, self.clock.seconds)
            opened.callback(cube.close)
            if not wait_for_cube(cube, arms, hands, self.clock, PATIENCE):
                raise CodiError(f"the cube was not seen within {PATIENCE:g} s: {cube.error}")
            layer = NotedLayer(judge_of(self.settings, StreamSettings().period))
            cell = Cell(arms, hands, cube, layer, self.clock, StreamSettings())
            plant = FrankaPlant(cell, HandoffOptions())
            plant.closing.push(opened.pop_all())
        self.driven, self.layer = plant, layer
        self.episodes += 1
        return plant

    def driven_for(self) -> float:
        """For how long the latest plant has been driven [s]."""
        plant = self.driven
        return 0.0 if plant is None else plant.clock.now()

    def sleep(self, seconds: float) -> None:
        """Wait for so many of the arms' seconds."""
        self.clock.sleep(seconds)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.close()

    def _start(self, folder: Path, seed: int) -> None:
        root = checkout()
        setup = strict_setup(root, self.slowdown) | {"hosts": PEERS, "communication": True}
        self.arms = self._closing.enter_context(peer("strict", "strict.py", setup, root))
        hosts = {"hosts": list(HOSTS.values()), "peers": PEERS, "record": str(folder)}
        text = json.dumps({**hosts, "slowdown": self.slowdown, "seed": seed})
        command = [sys.executable, str(Path(network.__file__)), text]
        self.network = self._closing.enter_context(Program("the network", command))


def _same(camera: DrawnCamera) -> DrawnCamera:
    return camera
