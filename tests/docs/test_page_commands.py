"""Each command on the pages is one that there is, and asks for what there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from codi_core import experiments
from codi_core.cli.run import main
from codi_core.errors import CodiError
from codi_core.host.assembly import available
from codi_core.host.assembly.policies import checkpoint_files
from codi_core.host.choices import parse_choice
from codi_core.host.plugins import load_plugins
from tests.core.plugin_path import ROOT
from tests.docs.pages import PAGES, RECORDS, blocks, commands, name
from tests.docs.test_pages import MODULES

RUNS = [page for page in PAGES if any(words[0] == "codi-run" for words in commands(page))]
PARTS = ("policy", "predictor", "simulator", "posterior", "guidance", "sampler", "method")
THERE_ALREADY = {"--resume", "--from", "--only"}
"""Options that need a run that is there."""


@pytest.fixture
def resolved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plugins: Path
) -> list[experiments.Experiment]:
    """The experiments that commands would have run, but for which they end."""
    kept: list[experiments.Experiment] = []

    def stop(experiment: experiments.Experiment, *others: Any) -> None:
        kept.append(experiment)
        raise CodiError("that will do")

    monkeypatch.syspath_prepend(str(plugins))
    monkeypatch.setattr("codi_core.experiments.running.run_experiment", stop)

    def shipped(*asked: Any) -> dict[str, Path | None]:
        try:
            return checkpoint_files(*asked)
        except CodiError:  # those of one's own trainings aren't there
            return {}

    monkeypatch.setattr("codi_core.experiments.experiment.checkpoint_files", shipped)
    monkeypatch.chdir(tmp_path)
    return kept


@pytest.mark.parametrize("page", RUNS, ids=name)
def test_each_run_resolves_to_parts_that_there_are(
    page: Path, resolved: list[experiments.Experiment], capsys: pytest.CaptureFixture[str]
) -> None:
    for words in commands(page):
        if words[0] != "codi-run" or "--help" in words or THERE_ALREADY.intersection(words):
            continue
        if any(f'"{value.partition(":")[0]}"' in _code(page) for value in words):
            continue  # the page itself shows how this part is made
        main(words[1:])
        assert resolved, f"{' '.join(words)}: {capsys.readouterr().err}"
        experiment = resolved.pop()
        _check_parts(experiment)
        # A checkpoint or student of the reader's, and a device of theirs, are not there.
        own = "checkpoint" in " ".join(words) or "student" in " ".join(words)
        if not own and experiment.config.device == "cpu":
            experiment.planner()


def _code(page: Path) -> str:
    """The code that a page shows."""
    files = re.findall(r"^```{literalinclude} (\S+\.py)$", page.read_text(), re.MULTILINE)
    return "\n".join([*blocks(page, "python"), *((page.parent / f).read_text() for f in files)])


def _check_parts(experiment: experiments.Experiment) -> None:
    """Check that each part has the name of one that there is."""
    names, config = available(experiment.opened), experiment.config
    for part in PARTS:
        value = getattr(config, part)
        if value is not None:
            assert parse_choice(value, part).name in names[part]
    for term in config.cost:
        assert parse_choice(term, "cost", weighted=True).name in names["cost"]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_each_program_is_there_and_each_file_that_it_names(page: Path) -> None:
    for words in commands(page):
        program, *others = words
        if program in MODULES or page in RECORDS:
            continue
        if program == "codi":
            assert others[0] in {record.name for record in load_plugins().commands}
        elif program == "make":
            assert re.search(rf"^{others[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif program == "pip":
            _check_installed(others)
        elif program.startswith("python"):
            assert others[0] == "-m" or (ROOT / others[0]).is_file(), words
        else:
            assert program == "." and others[0].endswith("/bin/activate"), words


FROM_AN_INDEX = {"pyrvo"}
"""What pages have pip install that is not ours."""


def _check_installed(words: list[str]) -> None:
    """Check that the folders and files that pip is given are in the repository."""
    assert words[0] == "install"
    for word in words[1:]:
        path, _, extras = word.partition("[")
        if word.startswith("-") or word in FROM_AN_INDEX:
            continue
        assert (ROOT / path).exists(), word
        if extras:
            project = tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"]
            assert set(extras.rstrip("]").split(",")) <= set(project["optional-dependencies"])
