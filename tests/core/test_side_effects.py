"""What code of somebody else changes of the process is undone and named."""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from codi_core.host.side_effects import SETTINGS, Contained

Change = Callable[[], object]


def close_to_nothing(*_: object) -> None:
    """A handler."""


CHANGES: dict[str, tuple[Change, Callable[[], object]]] = {
    "torch's default number type": (
        lambda: torch.set_default_dtype(torch.float64),
        torch.get_default_dtype,
    ),
    "torch's default device": (
        lambda: torch.set_default_device("meta"),
        lambda: torch.zeros(1).device,
    ),
    "torch's number of threads": (
        lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        torch.get_num_threads,
    ),
    "whether torch keeps gradients": (
        lambda: torch.set_grad_enabled(False),
        torch.is_grad_enabled,
    ),
    "which algorithms torch may use": (
        lambda: torch.use_deterministic_algorithms(True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "the precision of torch's matrix products": (
        lambda: torch.set_float32_matmul_precision("medium"),
        torch.get_float32_matmul_precision,
    ),
    "torch's random numbers": (
        lambda: torch.manual_seed(3),
        lambda: torch.get_rng_state().tolist(),
    ),
    "numpy's random numbers": (
        lambda: np.random.seed(3),
        lambda: np.random.get_state()[1].tolist(),
    ),
    "what numpy does at floating-point errors": (lambda: np.seterr(all="raise"), np.geterr),
    "Python's random numbers": (lambda: random.seed(3), random.getstate),
    "how signals are handled": (
        lambda: [signal.signal(kind, close_to_nothing) for kind in (signal.SIGINT, signal.SIGUSR1)],
        lambda: [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGUSR1)],
    ),
    "the working directory": (lambda: os.chdir("/"), os.getcwd),
    "the locale": (
        lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
        lambda: locale.setlocale(locale.LC_ALL),
    ),
    "the standard streams or what is done at errors": (
        lambda: setattr(sys, "excepthook", close_to_nothing),
        lambda: sys.excepthook,
    ),
    "the logging of everything": (
        lambda: logging.getLogger().addHandler(logging.NullHandler()),
        lambda: list(logging.getLogger().handlers),
    ),
}


@pytest.fixture
def plain_locale() -> Iterator[None]:
    """The locale C, and the one before afterwards: files are read in its encoding."""
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")
    yield
    locale.setlocale(locale.LC_ALL, before)


def test_every_setting_is_tested() -> None:
    assert list(CHANGES) == [setting.name for setting in SETTINGS]


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_undone_and_named(
    name: str, tmp_path: Path, monkeypatch, plain_locale: None
) -> None:
    monkeypatch.chdir(tmp_path)
    change, read = CHANGES[name]
    before = read()
    with Contained("here") as outcome:
        change()
        assert read() != before
    assert read() == before
    assert outcome.undone == (name,)
    assert outcome.error is None


def test_nothing_is_said_of_code_that_changes_nothing() -> None:
    with Contained("here") as outcome:
        torch.zeros(3)
        np.random.default_rng(0).normal()
    assert (outcome.undone, outcome.variables, outcome.error) == ((), (), None)


def test_filters_of_warnings_stay_as_they_are() -> None:
    before = list(warnings.filters)
    with Contained("here") as outcome:
        warnings.simplefilter("error")
    assert list(warnings.filters) == before
    assert outcome.undone == ()


def test_environment_variables_stay_changed_and_are_named(monkeypatch) -> None:
    monkeypatch.setenv("CODI_TEST_GONE", "1")
    monkeypatch.setenv("CODI_TEST_OTHER", "1")
    with Contained("here") as outcome:
        monkeypatch.setenv("CODI_TEST_OTHER", "2")
        monkeypatch.setenv("CODI_TEST_NEW", "3")
        monkeypatch.delenv("CODI_TEST_GONE")
    assert outcome.variables == ("CODI_TEST_GONE", "CODI_TEST_NEW", "CODI_TEST_OTHER")
    assert os.environ["CODI_TEST_OTHER"] == "2"


class Abort(BaseException):
    """As other libraries have them, for control flow of their own."""


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Abort("no")],
    ids=lambda error: type(error).__name__,
)
def test_no_exception_leaves_it(error: BaseException) -> None:
    with Contained("here") as outcome:
        raise error
    assert outcome.error is error


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("swallowed", [True, False])
def test_the_user_can_always_end_it(kind: signal.Signals, swallowed: bool) -> None:
    """As commands do, SIGTERM is taken as Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(kind, interrupt)
    try:
        with (
            pytest.raises(KeyboardInterrupt, match="while it hung"),
            Contained("while it hung"),
            contextlib.suppress(BaseException) if swallowed else contextlib.nullcontext(),
        ):
            signal.raise_signal(kind)
        assert signal.getsignal(kind) is interrupt
    finally:
        signal.signal(kind, before)


def test_it_works_in_other_threads() -> None:
    found = []

    def work() -> None:
        with Contained("here") as outcome:
            torch.set_default_dtype(torch.float64)
            raise KeyboardInterrupt
        found.append((type(outcome.error), outcome.undone))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(KeyboardInterrupt, ("torch's default number type",))]
    assert torch.get_default_dtype() == torch.float32


def test_nothing_is_printed_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with Contained("here"):
        print("by Python")
        os.write(1, b"by C\n")
        os.system("echo by another process")
    print("after")
    told = capfd.readouterr()
    assert told.out == "before\nafter\n"
    assert set(told.err.splitlines()) == {"by Python", "by C", "by another process"}


def test_what_is_imported_inside_counts_from_its_import_on() -> None:
    code = (
        "import sys; from codi_core.host.side_effects import Contained\n"
        "finders = list(sys.meta_path)\n"
        "with Contained('here') as outcome:\n"
        "    import torch, random\n"
        "    was = torch.get_num_threads(), torch.get_rng_state(), random.getstate()\n"
        "    torch.set_num_threads(7); torch.manual_seed(1); random.seed(1)\n"
        "    torch.set_default_dtype(torch.float64)\n"
        "assert outcome.error is None, outcome.error\n"
        "assert torch.get_num_threads() == was[0] and random.getstate() == was[2]\n"
        "assert torch.equal(torch.get_rng_state(), was[1])\n"
        "assert torch.get_default_dtype() == torch.float32\n"
        "assert sys.meta_path == finders\n"
        "print(len(outcome.undone))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "4", done.stderr
