"""One case: an episode with both arms in motion, its faults, and what came of it."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import numpy as np

from codi_core.data import DemonstrationDataset
from codi_core.errors import CodiError
from codi_core.evaluation.recorder import RecordedTask, Recorder
from codi_core.evaluation.waves import WaveRunner
from codi_core.execution import LoopSettings, ProcessWorker, RecedingHorizon
from codi_franka.action import ACTION_NAMES, RATE_HZ
from codi_franka.handoff.metrics import HandoffMetrics
from codi_franka.hardware.bench.faults.catalogue import CONNECTION, FAULTS, LEFT, Fault, Names
from codi_franka.hardware.bench.faults.measuring import Stop, Track, stops
from codi_franka.hardware.bench.faults.site import Period, Site
from codi_franka.hardware.bench.wire import check_commands, read_commands
from codi_franka.hardware.trials.sideways import HORIZON
from codi_franka.robot.cell import ARMS

BEFORE = 0.8
"""[s] For which arms move before a fault."""
APART = 0.1
"""[s] Between two faults."""
SHORT = 0.8
"""[s] Of an episode before or after the one with the fault."""
_EXECUTE = 4
_WAITING = 100
"""[periods] For which arms that wait have stood at the end, at least."""
ALONE = 0.5
"""[s] Within which an arm must stand that stops by itself."""
_BLUR = 0.02
"""[s] By which a time to stop may seem longer: speeds are differences of positions."""


@attrs.frozen
class Setup:
    """What a case is run with.

    Attributes:
        faults: their names.
        slowdown: about how many real seconds a second of the arms takes.
        safety: the name of the safety settings.
        folder: for everything that is written.
        seed: of what is random in the network.
    """

    faults: Names
    slowdown: float
    safety: str
    folder: Path
    seed: int = 0


@attrs.frozen
class Outcome:
    """What came of a case. Seconds are the arms'.

    Attributes:
        faults: their names.
        safety: the safety settings.
        ended: ``goes on``, ``waits``, ``stops``, ``crashes`` or ``hangs``.
        said: why, as the user is told; empty if it goes on.
        speed: of the fastest joint when it was found that both arms must stand [rad/s].
        stop: from then until both arms stood, at the longest of all such times; None if there was
            none [s].
        limit: within which they must [s].
        alone: how long an arm took to stand that couldn't be reached or had stopped by itself, from
            then on; None if there was none, or it told nothing [s].
        trips: how often an arm stopped by itself.
        sound: how often one did of those that nothing had happened to.
        missing: how many messages of those arms the driver has not answered in time.
        violations: how many commands to those arms broke a published limit.
        frames: how many frames the recording has that can be read.
        again: whether a further episode was possible; None if none was tried.
        slowdown: real seconds that a second of the arms took.
        wrong: what was not as it must be.
    """

    faults: Names
    safety: str
    ended: str
    said: str = ""
    speed: float = 0.0
    stop: float | None = None
    limit: float = 0.0
    alone: float | None = None
    trips: int = 0
    sound: int = 0
    missing: int = 0
    violations: int = 0
    frames: int = 0
    again: bool | None = None
    slowdown: float = 0.0
    wrong: tuple[str, ...] = ()


def run_case(setup: Setup, worker: ProcessWorker) -> Outcome:
    """Run it, in this process: faults may end that.

    Args:
        setup: what is run.
        worker: the process that plans, see :func:`~.site.sideways_maker`.

    Raises:
        CodiError: the peer, the network or the planner does not start.
    """
    setup.folder.mkdir(parents=True, exist_ok=True)
    faults = [FAULTS[name] for name in setup.faults]
    with Site(setup.slowdown, setup.safety, setup.folder, worker, setup.seed) as site:
        episodes = _Episodes(site, faults, setup.folder / "recording")
        episodes.run()
    return _judged(setup, faults, episodes)


class _Episodes:
    """The episode with the faults, and those before and after it."""

    def __init__(self, site: Site, faults: Sequence[Fault], recording: Path) -> None:
        self._site, self._faults, self._recording = site, faults, recording
        self._earlier = any(fault.earlier for fault in faults)
        self.ended, self.said = "goes on", ""
        self.again: bool | None = None
        self.injected, self.limit = 0.0, site.settings.stop_seconds
        self.periods: list[Period] = []
        self._over = threading.Event()

    def run(self) -> None:
        """Run them all."""
        task = RecordedTask("franka-handoff", ARMS, (ACTION_NAMES, ACTION_NAMES), RATE_HZ)
        with Recorder(self._recording, task, {}) as recorder:
            if self._earlier:
                self._runner(SHORT, recorder).run([0])
            breaking = threading.Thread(target=self._inject, daemon=True)
            breaking.start()
            self._break(recorder)
            self._over.set()
            breaking.join()
            _mend_disk()
            if len(self._faults) == 1 and self._faults[0].again:
                self.again = self._tried_again(recorder)

    def _break(self, recorder: Recorder) -> None:
        """The episode in which the faults happen."""
        seconds = BEFORE + max(fault.seconds for fault in self._faults)
        try:
            wave = self._runner(seconds, recorder).run([1])
            self.said = wave.records[0].get("error", "")
        except CodiError as error:
            self.said = str(error)
        if self._site.layer is not None:
            self.periods = self._site.layer.periods
        if self.said:
            self.ended = "stops"
        elif all(period.standing for period in self.periods[-_WAITING:]):
            self.ended = "waits"

    def _tried_again(self, recorder: Recorder) -> bool:
        try:
            wave = self._runner(SHORT, recorder).run([2])
        except CodiError as error:
            self.said += f"; again: {error}"
            return False
        return "error" not in wave.records[0]

    def _runner(self, seconds: float, recorder: Recorder) -> WaveRunner:
        settings = LoopSettings(RATE_HZ, HORIZON, _EXECUTE, seconds)
        loop = RecedingHorizon(self._site.worker, settings)
        metrics = HandoffMetrics()
        return WaveRunner(self._site.plant, loop, metrics, 0, begun=True, recorder=recorder)

    def _inject(self) -> None:
        """Have the faults happen while the arms move."""
        site = self._site
        while not (site.episodes > int(self._earlier) and site.driven_for() >= BEFORE):
            if self._over.wait(0.005):
                return
        self.injected = time.monotonic()
        doing = []
        for fault in self._faults:
            doing.append(threading.Thread(target=fault.inject, args=(site,), daemon=True))
            doing[-1].start()
            site.sleep(APART)
        for thread in doing:
            thread.join()


def _mend_disk() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def _judged(setup: Setup, faults: Sequence[Fault], episodes: _Episodes) -> Outcome:
    """Everything that was measured, and what of it was wrong."""
    tracks = [Track.read(setup.folder, arm) for arm in range(len(ARMS))]
    cut = any(fault.kind == CONNECTION for fault in faults)
    found = stops(episodes.periods)
    times = [
        (stop, track.rest_after(stop.began, stop.ended))
        for stop in found
        for arm, track in enumerate(tracks)
        if not (track.tripped_around(stop.began) or (cut and arm == LEFT))
    ]
    slowest = max((seconds for _, seconds in times if seconds is not None), default=None)
    sound = set(range(len(ARMS))) - {arm for fault in faults for arm in fault.arms}
    wires = [
        check_commands(read_commands(setup.folder / f"commands-{arm}.f64")) for arm in sorted(sound)
    ]
    outcome = Outcome(
        faults=setup.faults,
        safety=setup.safety,
        ended=episodes.ended,
        said=episodes.said,
        speed=max((stop.speed for stop in found), default=0.0),
        stop=slowest,
        limit=episodes.limit,
        alone=_alone(tracks, cut, episodes.injected),
        trips=sum(track.trips for track in tracks),
        sound=sum(tracks[arm].trips for arm in sound),
        missing=sum(wire.missing for wire in wires),
        violations=sum(wire.violations for wire in wires),
        frames=_frames(setup.folder / "recording"),
        again=episodes.again,
        slowdown=tracks[-1].pace,
    )
    wrong = () if episodes.injected else ("the episode ended before the fault",)
    return attrs.evolve(outcome, wrong=(*wrong, *_wrong(outcome, times)))


def _wrong(outcome: Outcome, times: Sequence[tuple[Stop, float | None]]) -> Iterator[str]:
    for stop, seconds in times:
        if seconds is None and np.isinf(stop.ended):
            yield f"an arm did not stand after a stop at {stop.speed:.2f} rad/s"
    if outcome.stop is not None and outcome.stop > outcome.limit + _BLUR:
        yield f"both arms stood after {outcome.stop:.2f} s"
    if outcome.alone is not None and outcome.alone > ALONE:
        yield f"an arm by itself stood after {outcome.alone:.2f} s"
    if outcome.sound:
        yield "an arm that nothing had happened to stopped by itself"
    if outcome.violations:
        yield f"{outcome.violations} commands outside the limits"
    if outcome.missing and (outcome.sound or outcome.violations):
        yield f"{outcome.missing} messages unanswered: choose a larger --slowdown"
    if not outcome.frames:
        yield "the recording can't be read"
    if outcome.again is False:
        yield "no further episode was possible"


def _alone(tracks: Sequence[Track], cut: bool, injected: float) -> float | None:
    """How long arms took to stand that stopped by themselves, at most [s]."""
    times = []
    for arm, track in enumerate(tracks):
        began = injected if cut and arm == LEFT else track.trip_after(injected)
        if began is not None and (seconds := track.rest_after(began)) is not None:
            times.append(seconds)
    return max(times, default=None)


def _frames(recording: Path) -> int:
    """How many frames of a recording can be read; 0 if it can't."""
    try:
        return len(DemonstrationDataset.load(recording).arrays["action"])
    except (CodiError, KeyError):
        return 0
