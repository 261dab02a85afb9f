"""Simulated arms as processes of their own, in environments of their own."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from codi_core.errors import CodiError

ENVIRONMENTS: Mapping[str, Sequence[str]] = {
    "physics": ("franky-sim==1.0.4",),
    "strict": ("franka-sim==1.1.7",),
}
"""What is installed for each kind of peer; their dependencies clash."""

SCRIPTS = Path("tests/hardware/arms/peers")
"""Where the peers' programs are, in a checkout."""
FOLDER = Path(".peers")
"""Where their environments are made, in a checkout."""

STARTING = 120.0
"""[s] Within which a program must be ready."""
GRACE = 0.3
"""[s] For which one whose input is closed may take to end by itself."""


def checkout(start: Path | None = None) -> Path:
    """The checkout that a folder belongs to, by default this program's or the current one.

    Raises:
        CodiError: it belongs to none.
    """
    inside = [Path(__file__).resolve(), Path.cwd().resolve()] if start is None else [start]
    for folder in [parent for path in inside for parent in (path, *path.parents)]:
        if (folder / SCRIPTS).is_dir():
            return folder
    raise CodiError(
        "simulated arms come with the project's sources, not with its packages: run this in a "
        "checkout, which has the folder tests/hardware/arms/peers"
    )


def environment(kind: str, root: Path) -> Path:
    """The Python of a peer's environment, which is made if it isn't there.

    Args:
        kind: a key of :data:`ENVIRONMENTS`.
        root: the checkout.

    Raises:
        CodiError: it can't be made.
    """
    folder = root / FOLDER / kind
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists():
        return python
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, *ENVIRONMENTS[kind]],
    ):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            last = (made.stderr.strip().splitlines() or ["no reason was given"])[-1]
            wanted = ", ".join(ENVIRONMENTS[kind])
            raise CodiError(f"no environment with {wanted} could be made in {folder}: {last}")
    done.touch()
    return python


class Program:
    """A process of its own that says ``ready``; a context manager that ends it.

    Args:
        name: what messages call it.
        command: what is run.
        ours: whether it runs in this program's environment, not in one of its own.

    Raises:
        CodiError: it doesn't start.
    """

    def __init__(self, name: str, command: Sequence[str], ours: bool = False) -> None:
        hidden = () if ours else ("PYTHONPATH",)
        own = {name: value for name, value in os.environ.items() if name not in hidden}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=own
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._wait_until_ready(name)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has told of so far."""
        told = [line for line in list(self.said) if line.startswith("{")]
        return [json.loads(line) for line in told]

    def tell(self, **order: Any) -> None:
        """Give it an order: a line of JSON on its standard input, if it still runs."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()  # who takes orders ends by itself then
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError):  # closed
            for line in self._process.stdout:
                self.said.append(line.strip())
                self._lines.put(line.strip())
        self._lines.put(None)

    def _wait_until_ready(self, name: str) -> None:
        given_up = time.monotonic() + STARTING
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, given_up - time.monotonic()))
            except queue.Empty:
                line = None
            if line == "ready":
                return
            if line is None:
                last = " / ".join(self.said[-3:]) or "it said nothing"
                raise CodiError(f"{name} did not start: {last}")


def peer(kind: str, script: str, setup: Mapping[str, Any], root: Path | None = None) -> Program:
    """Start simulated arms.

    Args:
        kind: a key of :data:`ENVIRONMENTS`.
        script: their program, in :data:`SCRIPTS`.
        setup: what it is told, as JSON.
        root: the checkout.

    Raises:
        CodiError: they don't start.
    """
    root = root or checkout()
    command = [str(environment(kind, root)), str(root / SCRIPTS / script), json.dumps(setup)]
    return Program(f"the program of simulated arms {script}", command)
