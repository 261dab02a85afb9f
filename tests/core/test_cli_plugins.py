"""``codi-plugins``, and ``codi`` with a plugin's command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plugin_path import install, install_example

from codi_core.cli.main import main as codi
from codi_core.cli.plugins import main

LIGHT = """
from codi_core import {record}, hookimpl

def make():
    return lambda argv: print("waved at", *argv) or 0

@hookimpl
def {hook}():
    yield {record}("{name}", "one [bracketed] line", make)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on ``sys.path`` to install plugins into."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def put(site: Path, distribution: str, hook: str, record: str, name: str) -> None:
    module = distribution.replace("-", "_") + "_module"
    install(
        site,
        distribution,
        {"p": module},
        module=module,
        source=LIGHT.format(hook=hook, record=record, name=name),
    )


def test_the_table_names_distributions_versions_and_records(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install_example(site)
    put(site, "codi-light", "codi_costs", "CostRecord", "light")
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "codi-core 0.1.0" in out
    assert "codi-example 0.1.0" in out
    assert "example-points" in out
    assert "early-meeting" in out
    assert "one [bracketed] line" in out


def test_json_says_the_same(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install_example(site)
    assert main(["--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    found = {plugin["distribution"]: plugin for plugin in content["plugins"]}
    assert found["codi-example"] == {
        "name": "example",
        "distribution": "codi-example",
        "version": "0.1.0",
        "registers": {
            "tasks": ["example-points"],
            "costs": ["early-meeting"],
            "base_policies": ["example-home"],
        },
        "error": None,
        "changes": [],
    }
    assert content["conflicts"] == []


def test_a_plugin_that_prints_does_not_spoil_the_json(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = 'print("hello")\n' + LIGHT.format(hook="codi_costs", record="CostRecord", name="loud")
    install(site, "codi-loud", {"p": "loud_module"}, module="loud_module", source=source)
    assert main(["--json"]) == 0
    told = capsys.readouterr()
    assert "codi-loud" in {plugin["distribution"] for plugin in json.loads(told.out)["plugins"]}
    assert "hello" in told.err


def test_a_broken_plugin_is_shown_with_its_error(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        site,
        "codi-broken",
        {"broken": "codi_broken_module"},
        module="codi_broken_module",
        source="import a_module_that_is_not_there\n",
    )
    assert main([]) == 1
    out = capsys.readouterr().out
    assert "codi-broken 0.1.0" in out
    assert "'broken' is broken: ModuleNotFoundError: No module named 'a_module_that" in out
    assert main(["--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    found = {plugin["distribution"]: plugin for plugin in content["plugins"]}
    assert "ModuleNotFoundError" in found["codi-broken"]["error"]


def test_a_conflict_is_shown(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(site, "codi-one", "codi_costs", "CostRecord", "same")
    put(site, "codi-two", "codi_costs", "CostRecord", "same")
    assert main([]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("(registered by another plugin, too)") == 2
    assert "cost 'same' is registered by both 'codi-" in captured.err
    assert main(["--json"]) == 1
    assert "both" in json.loads(capsys.readouterr().out)["conflicts"][0]


TASKS = """
import os, sys
from codi_core import CostRecord, TaskRecord, hookimpl

def exits():
    os.write(1, b"printed by C")
    print("printed")
    sys.exit(3)

@hookimpl
def codi_tasks():
    yield TaskRecord("exits", "a task that cannot be made", exits)

@hookimpl
def codi_costs():
    yield CostRecord("gap", "the name of a cost of another plugin's task", lambda: None)
"""


def test_a_task_that_misbehaves_while_it_is_made_does_not_spoil_the_list(
    site: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    install_example(site)
    install(site, "codi-exits", {"p": "exits_module"}, module="exits_module", source=TASKS)
    assert main(["--json"]) == 0
    tasks = json.loads(capfd.readouterr().out)["tasks"]
    assert "SystemExit: 3" in tasks["exits"]["error"]
    (shadowed,) = tasks["example-points"]["shadowed"]
    assert shadowed.startswith(
        "cost 'gap' of 'codi-exits' is not used with task 'example-points', which has one of that "
        "name by itself (it is of 'codi-example')"
    )


def test_a_plugin_adds_a_command(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(site, "codi-wave", "codi_commands", "CommandRecord", "wave")
    assert codi(["wave", "everybody", "--now"]) == 0
    assert capsys.readouterr().out == "waved at everybody --now\n"
    assert codi(["--help"]) == 0
    listed = capsys.readouterr().out
    assert "wave" in listed
    assert "run a task in closed loop" in listed
    assert codi(["wafe"]) == 2
    assert "unknown command 'wafe'; did you mean 'wave'?" in capsys.readouterr().err
