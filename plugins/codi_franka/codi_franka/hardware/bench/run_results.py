"""What came of long runs: of one, and the file that holds those of a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.data import DemonstrationDataset
from codi_core.errors import UsageError
from codi_core.evaluation.recorder import has_data
from codi_core.files.durable import to_json, write_durably
from codi_franka.action import RATE_HZ
from codi_franka.hardware.bench.wire import WireReport, check_commands, read_commands
from codi_franka.hardware.plant import STATUSES
from codi_franka.robot.cell import ARMS

Array = NDArray[np.float64]

DOCUMENT = "runs.json"
TRUTH = "truth"
"""What ``--cameras`` calls the cell's own word for where the cube is, with a tracker's errors."""
PICTURED = ("fixed", "hands")
"""What it calls cameras beside the table, and on the hands, whose pictures are drawn."""


@attrs.frozen
class Asked:
    """What is run, each time with another seed.

    Attributes:
        seconds: how long, in the arms' seconds.
        slowdown: about how many real seconds one of these takes.
        cameras: :data:`TRUTH`, or one of :data:`PICTURED`.
        rate: pictures a second of the arms that each of them takes.
        box: the edges of what is handed over [mm].
        attempts: after so many the run ends; None for never.
        preset: of the task's options for planning, or None.
    """

    seconds: float
    slowdown: float
    cameras: str = TRUTH
    rate: float = 10.0
    box: tuple[float, float, float] | None = None
    attempts: int | None = None
    preset: str | None = None


@attrs.frozen
class Seeing:
    """How well it was known where the cube is, at the control steps of a run.

    Attributes:
        steps: how many there were.
        status: the share of the steps with each status of the estimate.
        millimetres: of the estimate's error, in the median and at 95 %; among estimates that were
            planned with, so that those of a cube that was lost are left out.
        degrees: likewise.
        by_status: the errors in mm, in the median and at 95 %, by the status.
    """

    steps: int
    status: Mapping[str, float]
    millimetres: tuple[float, float] | None = None
    degrees: tuple[float, float] | None = None
    by_status: Mapping[str, tuple[float, float]] = attrs.field(factory=dict)


PUSHES = (40.0, 80.0, 120.0)
"""[N] The second is where the safety layer stops both arms by default, the third where arms do."""


@attrs.frozen
class LongRun:
    """What came of a run.

    Attributes:
        seed: of the places, of the planner's noise, and of the pictures.
        asked: what was run.
        attempts: how many ended.
        deliveries: how many of them with a delivery.
        ended: how each ended.
        seconds: how long each took.
        at: when each ended, from the run's start on, where that was recorded [s].
        failure: why the run ended early, or None.
        robot_errors: how many errors arms reported.
        halts: how often the safety layer stopped both arms, and the run went on.
        pushes: how often a hand was pushed harder than so many newtons, see :data:`PUSHES`.
        slowdown: the real seconds that a second of the arms took.
        wire: what the checker found, by arm.
        seeing: how well it was known where the cube is, see :class:`Seeing`.
        pictures: how many moments the cameras took pictures at, at what rate in the arms' time, and
            how many real seconds it took to draw those of one; None without cameras.
        calibration: how far the cameras' calibration was off, by camera.
        metrics: of the run folder; empty if it ended early.
    """

    seed: int
    asked: Mapping[str, Any]
    attempts: int
    deliveries: int
    ended: tuple[str, ...]
    seconds: tuple[float, ...]
    at: tuple[float, ...]
    failure: str | None
    robot_errors: int
    halts: int
    pushes: Mapping[str, int]
    slowdown: float
    wire: Mapping[str, Any]
    seeing: Mapping[str, Any]
    pictures: Mapping[str, Any] | None
    calibration: Mapping[str, Any]
    metrics: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Steps:
    """The control steps of a recorded run.

    Attributes:
        status: (T,) places in :data:`~codi_franka.hardware.plant.STATUSES`.
        millimetres: (T,) errors of the cube's estimate.
        degrees: (T,) likewise.
        tripped: (T,) how many errors arms have reported.
        halts: (T,) how often the safety layer has stopped both arms.
        force: (T,) the largest external force at a hand [N].
        cell_time: (T,) on the simulated cell's clock [s].
    """

    status: NDArray[np.intp]
    millimetres: Array
    degrees: Array
    tripped: Array
    halts: Array
    force: Array
    cell_time: Array

    @classmethod
    def read(cls, recording: Path) -> Steps:
        """Those of a recording; none if nothing was recorded before the run failed."""
        names = (
            "cube_status", "cube_error_m", "cube_error_rad", "tripped", "halts", "force_n",
            "cell_time_s",
        )  # fmt: skip
        events = [f"event.{name}" for name in names]
        if has_data(recording):
            arrays = DemonstrationDataset.load(recording, events).arrays
            columns = [arrays[name].reshape(len(arrays[name]), -1).max(-1) for name in events]
        else:
            columns = [np.empty(0)] * len(events)
        status, metres, radians, *rest = columns
        return cls(status.astype(np.intp), 1000 * metres, np.degrees(radians), *rest)

    @property
    def robot_errors(self) -> int:
        """How many errors arms reported."""
        return int(self.tripped.max(initial=0))

    @property
    def stops(self) -> int:
        """How often the safety layer stopped both arms."""
        return int(self.halts.max(initial=0))

    def pushes(self) -> dict[str, int]:
        """How often a hand was pushed harder than each of :data:`PUSHES`; once while it lasts."""
        over = {limit: np.concatenate(([False], self.force > limit)) for limit in PUSHES}
        return {f"{limit:g}": int((~o[:-1] & o[1:]).sum()) for limit, o in over.items()}

    def when(self, cell_time: float) -> float:
        """The run's time [s] when the cell's clock showed that."""
        return float(np.searchsorted(self.cell_time, cell_time) / RATE_HZ)

    def seeing(self) -> Seeing:
        """How well it was known where the cube is."""
        return seeing(self.status, self.millimetres, self.degrees)


def seeing(status: NDArray[np.intp], millimetres: Array, degrees: Array) -> Seeing:
    """Summarise the control steps of a run.

    Args:
        status: (T,) places in :data:`~codi_franka.hardware.plant.STATUSES`.
        millimetres: (T,) the estimate's errors.
        degrees: (T,) likewise.
    """
    usable = np.array([each.usable for each in STATUSES])[status]
    count = max(len(status), 1)
    shares = {each.value: float((status == k).sum() / count) for k, each in enumerate(STATUSES)}
    return Seeing(
        steps=len(status),
        status={name: round(share, 4) for name, share in shares.items()},
        millimetres=_quantiles(millimetres[usable]),
        degrees=_quantiles(degrees[usable]),
        by_status={
            each.value: found
            for k, each in enumerate(STATUSES)
            if (found := _quantiles(millimetres[status == k])) is not None
        },
    )


def _quantiles(values: Array) -> tuple[float, float] | None:
    """The median and the 95 % quantile; None of nothing."""
    if not len(values):
        return None
    middle, high = np.quantile(values, (0.5, 0.95))
    return round(float(middle), 3), round(float(high), 3)


def read_wire(record: Path) -> dict[str, WireReport]:
    """What the checker finds in a peer's record, by arm."""
    return {
        arm: check_commands(read_commands(record / f"commands-{number}.f64"))
        for number, arm in enumerate(ARMS)
    }


def line(run: LongRun) -> str:
    """One run in one line."""
    checked = ", ".join(
        f"{arm} {report['velocity'] + report['acceleration'] + report['jerk'] + report['position']}"
        f" of {report['commands']} commands outside the limits"
        for arm, report in run.wire.items()
    )
    ended = "" if run.failure is None else f"; ended early: {run.failure}"
    pushes = ", ".join(f"{count} times over {limit} N" for limit, count in run.pushes.items())
    errors = (
        f"; arms reported {run.robot_errors} errors, and were stopped {run.halts} times; "
        f"hands were pushed {pushes}"
    )
    return (
        f"seed {run.seed}: {run.deliveries} of {run.attempts} attempts delivered, "
        f"{run.slowdown:g} times slower than real time; {checked}{_seen(run)}{errors}{ended}"
    )


def _seen(run: LongRun) -> str:
    """The part of the line that says how well it was known where the cube is."""
    said = ""
    if run.pictures is not None:
        said += f"; pictures at {run.pictures['rate']:g} Hz"
    if run.seeing["steps"]:
        shares = [f"{name} {100 * share:.0f} %" for name, share in run.seeing["status"].items()]
        said += f"; the cube was {', '.join(shares)}"
    if run.seeing["millimetres"] is not None:
        middle, high = run.seeing["millimetres"]
        said += f", its place wrong by {middle:.1f} mm (95 %: {high:.1f} mm)"
    return said


class RunsFile:
    """The finished runs of a folder; kept after each.

    Args:
        folder: where they are.
        asked: what is run there.

    Raises:
        UsageError: the file is damaged, or holds runs of something else.
    """

    def __init__(self, folder: Path, asked: Asked) -> None:
        self.path = folder / DOCUMENT
        # Through JSON, so that tuples compare with the lists that were written.
        self._asked = json.loads(to_json(attrs.asdict(asked)))
        self.runs = [self._read(fields) for fields in self._there()]

    def of(self, seed: int) -> LongRun | None:
        """The run with that seed, if it is finished."""
        return next((run for run in self.runs if run.seed == seed), None)

    def add(self, run: LongRun) -> None:
        """Keep a run."""
        self.runs.append(run)
        self.runs.sort(key=lambda each: each.seed)
        write_durably(self.path, to_json([attrs.asdict(each) for each in self.runs]))

    def _there(self) -> Sequence[Mapping[str, Any]]:
        if not self.path.exists():
            return []
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error
        return found if isinstance(found, list) else [{}]

    def _read(self, fields: Mapping[str, Any]) -> LongRun:
        try:
            run = LongRun(**fields)
        except TypeError as error:
            raise self._damaged(error) from error
        for name, value in self._asked.items():
            if run.asked.get(name) != value:
                raise UsageError(
                    f"'{self.path}' holds runs with {name} {run.asked.get(name)}, not {value}: "
                    "give the same options, or another --output"
                )
        return run

    def _damaged(self, error: Exception) -> UsageError:
        return UsageError(
            f"'{self.path}' is damaged, or of another version ({error!r}): choose another folder "
            "with --output"
        )
