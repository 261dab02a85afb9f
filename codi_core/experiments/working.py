"""Has claimed waves run, here or elsewhere, until none is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future
from concurrent.futures import wait as wait_for
from typing import Any

import attrs

from codi_core.evaluation.progress import Progress
from codi_core.evaluation.waves import Wave
from codi_core.experiments.sharing import ClaimedWave, Share, SharedRun
from codi_core.tasks import EpisodeRecord

POLL = 0.5
"""How often a process looks for waves that others have left, when there are no free ones [s]."""

Submit = Callable[[ClaimedWave], Future[Wave]]
"""Has a wave run, here or elsewhere."""


def work_off(
    share: Share, submit: Submit, in_flight: int, wait: bool, news: Callable[[], object]
) -> dict[str, Exception]:
    """Run waves until none is missing.

    Args:
        share: what they are taken from.
        submit: has a wave run.
        in_flight: how many waves are asked for at once.
        wait: wait for waves that other processes run; if they end without them, take them.
        news: called whenever a wave has been kept, and while waiting.

    Returns:
        What ended runs before their time, by their labels. The other runs have gone on.

    Raises:
        BrokenExecutor: nobody is left who runs waves.
    """
    errors: dict[str, Exception] = {}
    flying: dict[Future[Wave], ClaimedWave] = {}
    try:
        while True:
            while len(flying) < in_flight and (wave := share.take()) is not None:
                flying[submit(wave)] = wave
            if not flying:
                if not wait or share.finished():
                    return errors
                time.sleep(POLL)
            for future in wait_for(flying, POLL, FIRST_COMPLETED).done:
                wave = flying.pop(future)
                try:
                    wave.run.keep(future.result())
                except BrokenExecutor:
                    raise
                except Exception as error:
                    if wave.run.label not in errors:
                        errors[wave.run.label] = error
                        share.leave_out(wave.run)
                finally:
                    share.release(wave)
            news()
    finally:
        for future in flying:
            future.cancel()


class Here(Executor):
    """Does what is submitted at once, in this thread."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Call it."""
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args, **options))
        except Exception as error:
            future.set_exception(error)
        return future


@attrs.define(eq=False)
class Watch:
    """Tells a display what has finished, whichever process has run it.

    Attributes:
        runs: what is watched.
        display: the display.
    """

    runs: Sequence[SharedRun]
    display: Progress
    _seen: set[tuple[str, int]] = attrs.field(factory=set, init=False)

    def begin(self) -> None:
        """Show what is there already."""
        configs = [run.experiment.config for run in self.runs]
        rates = [run.experiment.opened.parts.rate_hz for run in self.runs]
        steps = [
            round(float(config.max_seconds or 0.0) * rate)
            for config, rate in zip(configs, rates, strict=True)
        ]
        total = sum(config.episodes for config in configs)
        self.display.begin(total, max(1, *steps), self._fresh())

    def update(self) -> bool:
        """Show what is new; whether there is something."""
        fresh = self._fresh()
        if fresh:
            self.display.finished(fresh)
        else:
            self.display.show()
        return bool(fresh)

    def _fresh(self) -> list[EpisodeRecord]:
        found = {
            (run.label, record["episode"]): record for run in self.runs for record in run.records()
        }
        fresh = [record for key, record in found.items() if key not in self._seen]
        self._seen |= set(found)
        return fresh
