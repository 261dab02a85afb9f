"""The commands of the README and the quickstart run, with reduced counts, one after the other."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from codi_core.cli import main as codi
from codi_core.cli.run import main as codi_run
from tests.core.plugin_path import ROOT
from tests.docs.pages import QUICKSTART, README, commands, name

PROGRAMS = {"codi-run": codi_run, "codi": codi.main}
FEWER = {"--episodes": "1", "--only": "0", "--video-episodes": "0"}
"""Counts of options, instead of those on the page."""
QUICK = ["--max-seconds", "0.3", "--samples", "4", "--steps", "2", "--no-report"]


def reduced(words: list[str]) -> list[str]:
    """The same command, for one short episode."""
    out = list(words)
    for option, count in FEWER.items():
        if option in out:
            out[out.index(option) + 1] = count
    if words[0] != "codi-run" or "--help" in words:
        return out
    return [*out, "--no-video", *([] if "--only" in words else ["--episodes", "1", *QUICK])]


@pytest.mark.slow
@pytest.mark.parametrize("page", [README, QUICKSTART], ids=name)
def test_the_commands_of_a_page_run_in_their_order(
    page: Path, plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(plugins))
    monkeypatch.chdir(tmp_path)
    ran = 0
    for words in commands(page):
        if words[0] in PROGRAMS:
            assert PROGRAMS[words[0]](reduced(words)[1:]) == 0, words
            ran += 1
    assert ran > 3


def test_the_demo_installs_all_that_the_readme_runs() -> None:
    asked = subprocess.run(
        ["make", "--dry-run", "--always-make", "--no-print-directory", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    tasks = {words[words.index("--task") + 1] for words in commands(README) if "--task" in words}
    for task in tasks:
        assert f"./plugins/codi_{task.partition('-')[0]}[visual]" in asked
