"""A worker in another interpreter, as its client sees it: started, called, ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from codi_core.errors import CodiError, UsageError
from codi_franka.physics.isaac.wire import PROTOCOL, Channel, ClosedError, Shared, layout

WORKER = Path(__file__).with_name("worker.py")

_OURS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""Variables of this interpreter that would mislead another one."""

_GRACE = 3.0
"""[s] That a worker has to end by itself."""


class WorkerError(CodiError):
    """A simulator's worker that could not be started, failed, died or does not answer."""


class Worker:
    """A process that steps copies, and the memory that is shared with it.

    It ends when this is closed or collected, and when this process dies. After an error it has
    ended, too, and each further call raises the same error.

    Args:
        python: the interpreter.
        backend: ``isaacgym``, or a file; see ``worker.py``.
        opening: what the backend makes copies from; ``copies`` and ``arms`` must be in it.
        patience: for how long nothing may be heard of the worker, which beats each second [s]. An
            interpreter that is held by a library says nothing.

    Raises:
        UsageError: there is no such interpreter.
        WorkerError: the worker could not be started.
    """

    def __init__(
        self, python: str, backend: str, opening: Mapping[str, Any], patience: float = 120.0
    ) -> None:
        self.what = f"the worker of {python}"
        self.patience = patience
        self._error: str | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="codi-"))
        self._log = self._folder / "worker.log"
        fields = layout(opening["copies"], len(opening["arms"]))
        try:
            path = str(_roomy(self._folder) / f"{self._folder.name}.shared")
            self._shared_path = path
            self.shared = Shared(path, fields, create=True)
            with socket.socket(socket.AF_UNIX) as listener, self._log.open("wb") as log:
                listener.bind(str(self._folder / "socket"))
                listener.listen(1)
                self.process = _started(python, backend, self._folder / "socket", log)
                self._end = weakref.finalize(self, _end, self.process, [], self._folder, path)
                connection = self._accepted(listener)
            self._channel = Channel(connection)
            self._end.detach()
            self._end = weakref.finalize(
                self, _end, self.process, [self._channel], self._folder, path
            )
            self.about = self._receive("starting")
            self._check_protocol()
            beside = {"protocol": PROTOCOL, "shared": path, "folder": str(self._folder)}
            self._send(**opening, **beside, fields=fields)
            self.ready = self._receive("making the simulation")
        except BaseException:
            self.close()
            raise
        Path(path).unlink()  # both sides have it mapped: nothing is left behind, whoever dies

    def call(self, name: str, **arguments: Any) -> None:
        """Let the worker do something, and wait until it has.

        Raises:
            WorkerError: it failed, died, or does not answer.
        """
        if self._error is not None:
            raise WorkerError(self._error)
        self._send(call=name, **arguments)
        self._receive(f"in {name}")

    def close(self) -> None:
        """End the worker; again does nothing."""
        if hasattr(self, "_end"):
            self._end()
        else:
            _end(None, [], self._folder, getattr(self, "_shared_path", None))
        if self._error is None:
            self._error = f"{self.what} was closed"

    def _accepted(self, listener: socket.socket) -> socket.socket:
        listener.settimeout(0.05)
        until = time.monotonic() + self.patience
        while time.monotonic() < until:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                if self.process.poll() is not None:
                    self._fail("has ended before it connected")
                continue
            connection.settimeout(None)
            return connection
        return self._fail("has not connected")

    def _check_protocol(self) -> None:
        spoken = self.about.get("protocol")
        if spoken != PROTOCOL:
            self._fail(f"speaks protocol {spoken}, this version of codi-franka {PROTOCOL}")

    def _send(self, **message: Any) -> None:
        try:
            self._channel.send(**message)
        except ClosedError:
            self._fail("has gone")

    def _receive(self, when: str) -> dict[str, Any]:
        """The next answer; heartbeats only show that there will be one."""
        while True:
            try:
                message: dict[str, Any] = self._channel.receive(self.patience)
            except TimeoutError:
                self._fail(f"has not been heard of for {self.patience:g} s {when}")
            except ClosedError:
                self._fail(f"has ended {when}")
            if "error" in message:
                self._fail(f"failed {when}: {message['error']}: {message['message']}")
            if "beat" not in message:
                return message

    def _fail(self, how: str) -> Any:
        """End the worker and say why.

        Raises:
            WorkerError: always.
        """
        ended = _wait(self.process, 1.0) if "ended" in how or "gone" in how else None
        said = "" if "failed" in how else _last_words(self._log)
        code = "" if ended is None else f" ({_exit(ended)})"
        self._error = f"{self.what} {how}{code}" + (f"; it said: {said}" if said else "")
        self.close()
        raise WorkerError(self._error) from None


def _started(python: str, backend: str, path: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    command = [python, str(WORKER), "--socket", str(path), "--backend", backend]
    try:
        # In a session of its own, so that Ctrl-C reaches it through this process only.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=kept,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(
            f"the interpreter '{python}' can't be started ({error.strerror}): give the path of the "
            "one that has Isaac Gym, as in --simulator isaacgym:python=/path/to/python3.8"
        ) from error


def _end(
    process: subprocess.Popen[bytes] | None,
    channels: list[Channel],
    folder: Path,
    shared: str | None,
) -> None:
    """End a worker gently, then not; leave nothing behind."""
    for channel in channels:
        channel.close()
    if process is not None and (not channels or _wait(process, _GRACE) is None):
        process.kill()
        process.wait()
    if shared is not None:
        Path(shared).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


def _roomy(folder: Path) -> Path:
    """Where shared memory is memory."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else folder
