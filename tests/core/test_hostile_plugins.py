"""A command is not affected by plugins that it has nothing to do with, whatever they do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plugin_path import command, install, install_example

from codi_core.cli.plugins import main as plugins
from codi_core.cli.run import main

RUN = ("--task", "example-points", "--episodes", "3", "--seed", "4", "--max-seconds", "1")
PLAIN = ("--no-video", "--no-report")

HOSTILE = """
import os, random, signal, sys, warnings
import numpy, torch
from codi_core import CostRecord, PosteriorRecord, SamplerRecord, hookimpl

print("printed at import")
os.write(1, b"written at import\\n")
torch.set_default_dtype(torch.float64)
torch.set_num_threads(3)
torch.set_grad_enabled(False)
torch.manual_seed(12)
numpy.random.seed(12)
numpy.seterr(all="raise")
random.seed(12)
warnings.simplefilter("error")
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.excepthook = print
os.chdir("/")
os.environ["SET_BY_HOSTILE"] = "1"

def refuse(**options):
    raise SystemExit(7)

@hookimpl
def codi_costs():
    print("printed in a hook")
    yield CostRecord("gap", "the name of a cost of the task's own", refuse)
    yield CostRecord("early-meeting", "the name of another plugin's cost", refuse)

@hookimpl
def codi_samplers():
    yield SamplerRecord("ancestral", "the name of a built-in sampler", refuse)
"""

ENDS = """
class Skipped(BaseException):
    pass

raise Skipped("not here")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The example plugin, one that changes everything it can, and one that can't be imported."""
    install_example(tmp_path / "site")
    hostile = tmp_path / "hostile"
    install(hostile, "codi-hostile", {"p": "hostile"}, source=HOSTILE, module="hostile")
    install(hostile, "codi-ends", {"p": "ends"}, source=ENDS, module="ends")
    return tmp_path


def test_a_run_has_the_same_numbers_and_prints_the_same(site: Path) -> None:
    both = (site / "site", site / "hostile")
    alone = command("codi_core.cli.run", *RUN, *PLAIN, "--output", "a", folders=both[:1], cwd=site)
    beside = command("codi_core.cli.run", *RUN, *PLAIN, "--output", "b", folders=both, cwd=site)
    assert (alone.returncode, beside.returncode) == (0, 0), beside.stderr
    assert (site / "a/episodes.jsonl").read_bytes() == (site / "b/episodes.jsonl").read_bytes()
    names = ("wrote", "completion", "success")
    for told in (alone, beside):
        assert "printed" not in told.stdout
        assert all(name in told.stdout for name in names)
    warnings = [line for line in beside.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == len(set(warnings)) == 6
    for text in (
        "'codi-ends' is left out: Skipped: not here",
        "cost 'early-meeting' is registered by both",
        "sampler 'ancestral' is registered by both 'codi-core' and 'codi-hostile'",
        "changed torch's default number type and torch's number of threads and whether torch keeps",
        "changed environment variables when it was loaded, which other parts may heed: SET_BY_HOS",
        "cost 'gap' of 'codi-hostile' is not used with task 'example-points'",
    ):
        assert sum(text in warning for warning in warnings) == 1, text
    assert "warning: " not in alone.stderr


def test_only_the_name_that_two_plugins_share_cannot_be_asked_for(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("site", "hostile"):
        monkeypatch.syspath_prepend(str(site / folder))
    monkeypatch.chdir(site)
    assert main([*RUN, *PLAIN, "--cost", "early-meeting", "--output", "run"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: cost 'early-meeting' is registered by both ")
    assert "'codi-example'" in error
    assert "'codi-hostile'" in error
    assert plugins(["--json"]) == 1
    listed = json.loads(capsys.readouterr().out)
    found = {plugin["distribution"]: plugin for plugin in listed["plugins"]}
    assert found["codi-ends"]["error"] == "Skipped: not here"
    assert found["codi-hostile"]["registers"]["samplers"] == ["ancestral"]
