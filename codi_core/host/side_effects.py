"""What code of somebody else changes of the whole process while it is looked at, undone."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType, TracebackType
from typing import Any, Self

import attrs

from codi_core.files.interrupts import SIGNALS
from codi_core.host.late_import import when_imported


@attrs.frozen
class Setting:
    """Something that the whole process shares.

    Attributes:
        name: how messages call it.
        module: without this module it is not there.
        read: its value, from the module.
        write: sets it back, in the module.
    """

    name: str
    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]


def _generator_state(numpy: Any) -> tuple[Any, ...]:
    kind, keys, *rest = numpy.random.get_state()
    return (kind, keys.tolist(), *rest)


def _torch_state(torch: Any) -> Any:
    return torch.get_rng_state().tolist()


def _set_torch_state(torch: Any, state: Any) -> None:
    torch.set_rng_state(torch.tensor(state, dtype=torch.uint8, device="cpu"))


def _handlers(signals: Any) -> dict[int, Any]:
    # None: no Python code has set it, and none can set it back.
    found = {number: signals.getsignal(number) for number in signals.valid_signals()}
    return {number: handler for number, handler in found.items() if handler is not None}


def _set_handlers(signals: Any, handlers: dict[int, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            if signals.getsignal(number) is not handler:
                signals.signal(number, handler)


def _folder(system: Any) -> str | None:
    with contextlib.suppress(OSError):  # it may have been removed
        return str(system.getcwd())
    return None


def _streams(system: Any) -> tuple[Any, ...]:
    return system.stdin, system.stderr, system.excepthook, system.displayhook


def _set_streams(system: Any, streams: tuple[Any, ...]) -> None:
    system.stdin, system.stderr, system.excepthook, system.displayhook = streams


def _root_logger(logging: Any) -> tuple[Any, ...]:
    root = logging.getLogger()
    return root.level, root.disabled, list(root.handlers), logging.root.manager.disable


def _set_root_logger(logging: Any, values: tuple[Any, ...]) -> None:
    root = logging.getLogger()
    root.level, root.disabled, root.handlers[:], logging.root.manager.disable = values


SETTINGS = (
    Setting(
        "torch's default number type",
        "torch",
        lambda torch: torch.get_default_dtype(),
        lambda torch, value: torch.set_default_dtype(value),
    ),
    Setting(
        "torch's default device",
        "torch",
        lambda torch: torch.get_default_device(),
        # A default that is set costs every call of torch; none is the same as "cpu".
        lambda torch, value: torch.set_default_device(None if value.type == "cpu" else value),
    ),
    Setting(
        "torch's number of threads",
        "torch",
        lambda torch: torch.get_num_threads(),
        lambda torch, value: torch.set_num_threads(value),
    ),
    Setting(
        "whether torch keeps gradients",
        "torch",
        lambda torch: torch.is_grad_enabled(),
        lambda torch, value: torch.set_grad_enabled(value),
    ),
    Setting(
        "which algorithms torch may use",
        "torch",
        lambda torch: torch.are_deterministic_algorithms_enabled(),
        lambda torch, value: torch.use_deterministic_algorithms(value),
    ),
    Setting(
        "the precision of torch's matrix products",
        "torch",
        lambda torch: torch.get_float32_matmul_precision(),
        lambda torch, value: torch.set_float32_matmul_precision(value),
    ),
    Setting("torch's random numbers", "torch", _torch_state, _set_torch_state),
    Setting(
        "numpy's random numbers",
        "numpy",
        _generator_state,
        lambda numpy, value: numpy.random.set_state(value),
    ),
    Setting(
        "what numpy does at floating-point errors",
        "numpy",
        lambda numpy: numpy.geterr(),
        lambda numpy, value: numpy.seterr(**value),
    ),
    Setting(
        "Python's random numbers",
        "random",
        lambda random: random.getstate(),
        lambda random, value: random.setstate(value),
    ),
    Setting("how signals are handled", "signal", _handlers, _set_handlers),
    Setting(
        "the working directory",
        "os",
        _folder,
        lambda system, value: None if value is None else system.chdir(value),
    ),
    Setting(
        "the locale",
        "locale",
        lambda locale: locale.setlocale(locale.LC_ALL),
        lambda locale, value: locale.setlocale(locale.LC_ALL, value),
    ),
    Setting("the standard streams or what is done at errors", "sys", _streams, _set_streams),
    Setting("the logging of everything", "logging", _root_logger, _set_root_logger),
)
"""What :class:`Contained` undoes and names; filters of warnings are undone without a word."""


class Contained:
    """A context for code that may do anything: what it breaks stays inside.

    No exception leaves it, unless the user asks the process to end: Ctrl-C does so also where the
    code inside swallows it. What it prints goes to standard error, for standard output may be
    what the command is about. What it changes of the process is undone.

    Args:
        what: what is at work, for the message of an interruption: "while plugin 'x' was loaded".

    Attributes:
        error: what was raised inside, or None.
        undone: the names of what was changed, and is as before.
        variables: the names of environment variables that were changed; they stay so.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.error: BaseException | None = None
        self.undone: tuple[str, ...] = ()
        self.variables: tuple[str, ...] = ()
        self._asked_to_end: list[int] = []
        self._before: list[tuple[Setting, ModuleType, Any]] = []

    def __enter__(self) -> Self:
        self._variables = dict(os.environ)
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(warnings.catch_warnings())
        self._stack.enter_context(_standard_output_apart())
        self._stack.enter_context(_noting(self._asked_to_end))
        for module in dict.fromkeys(setting.module for setting in SETTINGS):
            self._stack.callback(when_imported(module, self._remember))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.error = error
        self.undone = tuple(filter(None, map(self._undo, *zip(*self._before, strict=True))))
        self._stack.close()
        now = dict(os.environ)
        self.variables = tuple(
            sorted(
                name
                for name in now.keys() | self._variables.keys()
                if now.get(name) != self._variables.get(name)
            )
        )
        if self._asked_to_end:
            raise KeyboardInterrupt(self.what) from error
        return True

    def _remember(self, module: ModuleType) -> None:
        """Note how things stand, now or as soon as the module is imported."""
        for setting in SETTINGS:
            if setting.module == module.__name__:
                self._before.append((setting, module, setting.read(module)))

    @staticmethod
    def _undo(setting: Setting, module: ModuleType, before: Any) -> str | None:
        if setting.read(module) == before:
            return None
        setting.write(module, before)
        return setting.name


@contextlib.contextmanager
def _standard_output_apart() -> Iterator[None]:
    """Send what is printed to standard error, also what C code and other processes print."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            kept = os.dup(1)
        except OSError:  # there is no standard output
            yield
            return
        try:
            with contextlib.suppress(OSError):
                os.dup2(2, 1)
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


@contextlib.contextmanager
def _noting(received: list[int]) -> Iterator[None]:
    """Note what asks the process to end, and let it be handled as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
