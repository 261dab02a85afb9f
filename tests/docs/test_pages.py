"""The pages' code runs, their commands parse, and their cost plugin installs and works."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.plugin_path import ROOT, command, environment
from tests.docs.pages import PAGES, RECORDS, blocks, commands, name

LOW_CARRY = ROOT / "docs" / "examples" / "low_carry"
FRANKA = ROOT / "plugins" / "codi_franka"
MODULES = {
    **{
        f"codi-{name}": f"codi_core.cli.{name}"
        for name in ("run", "collect", "train", "distil", "plugins")
    },
    "codi-bench": "codi_core.cli.bench",
    "codi-train-baseline": "codi_baselines.train.command",
}
JOBS = ("codi-bench", "codi-train-baseline")
"""Commands whose options depend on their first argument."""
INCLUDED = (ROOT / "docs" / "paper" / "table.md", ROOT / "docs" / "paper" / "claims.md")
"""What a command wrote and the page of results includes."""


def console(page: Path) -> list[list[str]]:
    """The commands of ours in a page's console blocks."""
    return [words for words in commands(page) if words[0] in MODULES]


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p, "python") and p not in RECORDS], ids=name
)
def test_the_code_on_a_page_runs(page: Path, plugins: Path, tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(page, "python")))
    done = subprocess.run(
        [sys.executable, script.name],
        env=environment(plugins, FRANKA),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@functools.cache
def help_of(program: str, job: str | None, task: str | None, plugins: Path) -> str:
    chosen = [*([job] if job else []), *(["--task", task] if task else [])]
    done = command(MODULES[program], *chosen, "--help", folders=(plugins, FRANKA))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", [p for p in PAGES if console(p)], ids=name)
def test_the_options_on_a_page_exist(page: Path, plugins: Path) -> None:
    for words in console(page):
        task = words[words.index("--task") + 1] if "--task" in words else None
        job = words[1] if words[0] in JOBS and not words[1].startswith("-") else None
        known = help_of(words[0], job, task, plugins)
        for word in words:
            if word.startswith("--"):
                assert re.search(rf"{word}(?![\w-])", known), f"{words[0]} has no {word}"


def test_the_cost_plugin_is_listed(plugins: Path) -> None:
    done = command("codi_core.cli.plugins", "--json", folders=(plugins, FRANKA))
    assert done.returncode == 0, done.stderr
    listed = {entry["distribution"]: entry for entry in json.loads(done.stdout)["plugins"]}
    assert listed["codi-low-carry"]["registers"] == {"costs": ["low-carry"]}


@pytest.mark.slow
def test_the_cost_plugin_runs_with_the_task(plugins: Path, tmp_path: Path) -> None:
    checkpoint = untrained_checkpoint(tmp_path / "policy.safetensors")
    done = command(
        "codi_core.cli.run",
        "--task",
        "franka-handoff",
        "--checkpoint",
        str(checkpoint),
        "--cost",
        "+low-carry=5:height=0.1",
        "--episodes",
        "1",
        "--max-seconds",
        "0.4",
        "--steps",
        "4",
        "--samples",
        "8",
        "--no-video",
        "--no-report",
        "--output",
        "run",
        folders=(plugins, FRANKA),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["configuration"]
    assert "low-carry=5.0:height=0.1" in stored["cost"]
    assert len(stored["cost"]) == 4  # the three terms of Eq. 20 and ours


def untrained_checkpoint(path: Path) -> Path:
    from codi_core.policies import DiffusionPolicy, PolicySpec
    from codi_core.training import save_checkpoint
    from codi_franka.action import ACTION_SPEC
    from codi_franka.observation import SHAPES

    policy = DiffusionPolicy.build(PolicySpec(ACTION_SPEC, SHAPES), "mlp", width=16, depth=1)
    save_checkpoint(policy, path)
    return path


def test_no_page_calls_a_command_as_a_function() -> None:
    """``experiments.run`` is for Python."""
    for page in PAGES:
        assert not re.search(r"\bmain\(\s*\[", page.read_text()), page


def test_the_cost_of_the_readme_is_the_one_that_is_tested() -> None:
    source = (LOW_CARRY / "low_carry.py").read_text()
    assert source in blocks(ROOT / "README.md", "python")


def test_each_page_is_found_from_the_index() -> None:
    """Sphinx warns about orphans; this says it without building."""
    results = (ROOT / "docs" / "reproduction.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        if page in INCLUDED:
            assert f"{{include}} paper/{page.name}" in results
            continue
        siblings = (page.parent / "index.md").read_text()
        if page.name == "index.md" and page.parent == ROOT / "docs":
            continue
        if page.name == "index.md":
            siblings = (page.parent.parent / "index.md").read_text()
            assert f"{page.parent.name}/index" in siblings
        else:
            assert page.stem in siblings or "0*" in siblings, page
