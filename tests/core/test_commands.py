"""What all commands have in common: versions, help texts, outputs that are not UTF-8, memory."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
import torch
from plugin_path import environment, install_example

from codi_core.cli.bench import main as bench
from codi_core.cli.collect import main as collect
from codi_core.cli.distil import main as distil
from codi_core.cli.main import main as codi
from codi_core.cli.plugins import main as plugins
from codi_core.cli.run import main as run
from codi_core.cli.train import main as train
from codi_core.commands.errors import Main, guarded
from codi_core.commands.options import Parser, add_fields
from codi_core.commands.output import show, spell_out
from codi_core.errors import is_out_of_memory
from codi_core.version import __version__

COMMANDS: dict[str, Main] = {
    "codi": codi,
    "codi-run": run,
    "codi-collect": collect,
    "codi-train": train,
    "codi-distil": distil,
    "codi-bench": bench,
    "codi-plugins": plugins,
}


NOTHING_THERE = (
    "unknown task 'NAME'|no (run|collection)|is not a run folder|is missing|does not exist"
)
"""What examples stop at where nothing is there."""


def ended(main: Main, *arguments: str) -> int:
    """A command's exit code, however it ends."""
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_its_version(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(COMMANDS[name], "--version") == 0
    assert capsys.readouterr().out == f"{name} {__version__}\n"


@pytest.mark.parametrize("name", ["codi-run", "codi-collect", "codi-train", "codi-distil"])
def test_help_has_examples_that_are_understood(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of them is parsed: what it stops at is that no such folder or task is there."""
    monkeypatch.chdir(tmp_path)
    assert ended(COMMANDS[name], "--help") == 0
    examples = capsys.readouterr().out.split("examples:\n")[1].split("\n\n")[0]
    lines = re.sub(r"\\\n\s+|\s\s+\(.*\)", "", examples).strip().splitlines()
    assert len(lines) >= 3
    for line in lines:
        command, *words = line.split()
        assert ended(COMMANDS[command], *words) == 2
        told = capsys.readouterr().err
        assert "Traceback" not in told
        assert re.search(NOTHING_THERE, told), told


@attrs.frozen
class Options:
    """Options of every kind, without a metavar of their own."""

    radius: float = 1.0
    places: tuple[float, float] = (0.0, 1.0)
    names: list[str] = attrs.field(factory=list)
    kind: Literal["a", "b"] = "a"
    folder: Path | None = None


def test_help_shows_no_place_where_values_are_stored() -> None:
    parser = Parser(prog="codi-test")
    add_fields(parser, Options, prefix="task.")
    text = parser.format_help()
    assert "task." not in text.lower()
    for line in ("--radius RADIUS", "--places PLACES PLACES", "--kind {a,b}", "--folder FOLDER"):
        assert line in text


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("ascii", "lambda, sigma^2, <=, ?"), ("latin-1", "lambda, sigma², <=, ?"), ("utf-8", None)],
)
def test_what_the_output_cannot_show_is_spelt_out(
    encoding: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    text = "λ, σ², ≤, ☃"
    spell_out()
    print(text)
    sys.stdout.flush()
    assert raw.getvalue().decode(encoding).strip() == (expected or text)


def test_tables_have_lines_that_the_output_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.table import Table

    table = Table("λ", "b")
    table.add_row("1", "2")
    for encoding, line in (("ascii", "+"), ("utf-8", "━")):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
        spell_out()
        show(table)
        shown = raw.getvalue().decode(encoding)
        assert line in shown
        assert "?" not in shown
        assert ("lambda" in shown) == (encoding == "ascii")


def test_ascii_output_ends_no_command(tmp_path: Path) -> None:
    install_example(tmp_path)
    code = (
        "from codi_core.cli.run import main as run; from codi_core.cli.plugins import main as p\n"
        "run(['--task', 'example-points', '--help']); p([]); print('---'); p(['--json'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment(tmp_path), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    text, listed = done.stdout.decode("ascii").split("---\n")
    assert "lambda, in units of the cost" in text
    assert {p["distribution"] for p in json.loads(listed)["plugins"]} >= {"codi-example"}


OUT = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate mem"
        "ory: you tried to allocate 25600000000 bytes."
    ),
    RuntimeError("MPS backend out of memory"),
]


@pytest.mark.parametrize("error", OUT, ids=lambda error: type(error).__name__)
def test_a_lack_of_memory_is_a_message(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    @guarded
    def main(argv: Any = None) -> int:
        raise error

    assert is_out_of_memory(error)
    assert main([]) == 1
    told = capsys.readouterr().err
    assert told == "error: there is not enough memory for this: ask for less at once\n"


def test_other_errors_keep_their_tracebacks() -> None:
    @guarded
    def main(argv: Any = None) -> int:
        raise RuntimeError("a bug")

    assert not is_out_of_memory(ValueError("out of memory of the past"))
    with pytest.raises(RuntimeError, match="a bug"):
        main([])
