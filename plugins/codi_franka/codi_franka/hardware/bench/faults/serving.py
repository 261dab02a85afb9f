"""Cases in a process of their own, which a fault may end or hold up."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from codi_core.errors import CodiError
from codi_core.execution import ProcessWorker
from codi_franka.hardware.bench.faults.case import Outcome, Setup, run_case
from codi_franka.hardware.bench.faults.site import sideways_maker

ENDING = 10.0
"""[s] For which a case's threads may take to end; then the next one has a new process."""
LOG = "log.txt"
"""What a case's process and its libraries said, in its folder."""


class Server:
    """Runs cases one after the other; a context manager.

    Args:
        patience: how long a case may take before it counts as hanging, real seconds.
        serve: the process's main function.
    """

    def __init__(self, patience: float, serve: Callable[[Connection], None] | None = None) -> None:
        self._patience, self._serve = patience, serve or serve_cases
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def run(self, setup: Setup) -> Outcome:
        """Run a case; a process that dies in it or hangs is an outcome, too.

        Raises:
            CodiError: it could not be run at all.
        """
        if self._process is None:
            self._start()
        assert self._connection is not None
        try:
            self._connection.send(setup)
            if not self._connection.poll(self._patience):
                self._end()
                return _broken(setup, "hangs", f"nothing for {self._patience:g} s")
            answer, usable = self._connection.recv()
        except (EOFError, OSError):
            code = self._ended()
            return _broken(setup, "crashes", f"its process ended with {code}")
        if not usable:
            self._end()
        if isinstance(answer, str):
            raise CodiError(answer)
        return answer

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=self._serve, args=(theirs,), daemon=False)
        self._process.start()
        theirs.close()

    def _ended(self) -> int | None:
        assert self._process is not None
        self._process.join(5.0)
        code = self._process.exitcode
        self._end()
        return code

    def _end(self) -> None:
        if self._process is not None and self._connection is not None:
            self._connection.close()
            self._process.kill()
            self._process.join()
        self._process = self._connection = None


def _broken(setup: Setup, ended: str, why: str) -> Outcome:
    return Outcome(setup.faults, setup.safety, ended, why, wrong=(f"it {ended}: {why}",))


def serve_cases(connection: Connection) -> None:
    """Run cases until nobody asks for any more; the process's main function."""
    with ProcessWorker(sideways_maker) as worker:
        before = threading.active_count()
        while True:
            try:
                setup: Setup = connection.recv()
            except (EOFError, OSError):
                return
            _say_into(setup.folder)
            try:
                answer: Outcome | str = run_case(setup, worker)
            except CodiError as error:
                answer = str(error)
            connection.send((answer, _all_ended(before)))


def _all_ended(threads: int) -> bool:
    """Whether no more threads are left than that; one that is waits for what never answers."""
    until = time.monotonic() + ENDING
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.1)
    return threading.active_count() <= threads


def _say_into(folder: Path) -> None:
    """Have standard output and errors in a file, also those of libraries."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
