"""The pages, and the code and the commands on them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.core.plugin_path import ROOT

README = ROOT / "README.md"
QUICKSTART = ROOT / "docs" / "quickstart.md"
PAGES = [
    README,
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "plugins").glob("*/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Its code needs demonstrations and another package; it is a record of what was run.
RECORDS = {ROOT / "docs" / "data-format.md"}


def name(page: Path) -> str:
    """How tests call a page."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The words of each command in a page's console blocks; of a loop, the command inside it."""
    lines = [
        line.removeprefix("$ ")
        for block in blocks(page, "console")
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("$ ")
    ]
    return [shlex.split(_inside(line), comments=True) for line in lines]


def _inside(line: str) -> str:
    loop = re.fullmatch(r"for (\w+) in (\S+).*?; do (.*); done", line)
    return line if loop is None else loop[3].replace(f"${loop[1]}", loop[2])
