"""Draws the pictures of ``architecture.md``: ``python docs/pictures.py``.

The layers are those of the import contract in ``pyproject.toml``, and what is said about each is
the first sentence of its docstring.
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"

MATHEMATICS, TASKS, HOST, PLUGINS, GROUND = "#dbe9f6", "#dff0d8", "#fdebd0", "#ead9f2", "#eeeeee"
TASK_SIDE = {"adapters", "data", "evaluation", "execution", "tasks", "training"}
GROUPS = {
    HOST: "run it",
    TASKS: "tasks and the\nclosed loop",
    MATHEMATICS: "the\nmathematics",
    GROUND: "ground",
}
INK, FAINT = "#222222", "#666666"


def contract(name: str) -> dict[str, list[str]]:
    """One of the import contracts."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    return next(found for found in contracts if found["id"] == name)


def layers() -> list[list[str]]:
    """The layers of ``codi_core``, top to bottom; those that stand side by side in one list."""
    return [layer.split(" | ") for layer in contract("layers")["layers"]]


def first_sentence(name: str) -> str:
    """What the docstring of a package or module of ``codi_core`` begins with."""
    package = ROOT / "codi_core" / name / "__init__.py"
    path = package if package.exists() else ROOT / "codi_core" / f"{name}.py"
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    line = re.sub(r" \(Eq\. .*?\)", "", text.split("\n\n")[0].replace("\n", " "))
    return line.split(". ")[0].rstrip(".")


def colour_of(name: str) -> str:
    """The colour of the group that a layer belongs to."""
    if f"codi_core.{name}" in contract("mathematics")["source_modules"]:
        return MATHEMATICS
    if name in ("defaults", "errors", "files", "quantities", "resources", "version", "late_names"):
        return GROUND
    return TASKS if name in TASK_SIDE else HOST


def box(axes: Axes, corner: tuple[float, float], size: tuple[float, float], colour: str) -> None:
    """A rounded box; its lower left corner and its size."""
    style = "round,pad=0,rounding_size=0.08"
    patch = FancyBboxPatch(corner, *size, style, facecolor=colour, edgecolor=INK, lw=0.8)
    axes.add_patch(patch)


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty picture whose unit is an inch."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


PLUGIN_TEXT = """codi_franka
codi_navigation
codi_baselines
your own

They import what
stands beside this
box, and not one
another. Nothing
imports them: they
are found by their
entry points.

Only codi_baselines
imports testing."""


WIDTH, STEP, LEFT, RIGHT = 7.6, 0.5, 1.15, 6.05
"""[in] Of both pictures, which pages show at about that size; of a layer; where layers stand."""


def draw_layers() -> Figure:
    """The layers of the core, with the plugins beside them."""
    rows = layers()
    height = 0.5 + STEP * len(rows)
    figure, axes = canvas(WIDTH, height)
    for number, row in enumerate(rows):
        bottom, share = height - 0.4 - STEP * (number + 1), (RIGHT - LEFT) / len(row)
        for place, name in enumerate(row):
            corner = (LEFT + share * place, bottom)
            box(axes, corner, (share - 0.05, STEP - 0.07), colour_of(name))
            _label(axes, corner[0] + 0.08, bottom + (STEP - 0.07) / 2, name, len(row))
    _groups(axes, rows, height)
    low, top = height - 0.4 - STEP * len(rows), height - 0.47 - STEP
    box(axes, (6.15, low), (1.4, top - low), PLUGINS)
    axes.text(6.85, top - 0.22, "plugins", ha="center", fontsize=9.5, weight="bold")
    axes.text(6.85, (top + low) / 2, PLUGIN_TEXT, ha="center", va="center", fontsize=7.5)
    axes.text(LEFT, height - 0.27, "codi_core", fontsize=9.5, weight="bold")
    x, y = RIGHT - 0.3, height - 0.27
    axes.annotate("", (x, y - 0.08), (x, y + 0.2), arrowprops={"arrowstyle": "->"})
    axes.text(x - 0.1, y, "imports point downwards", ha="right", fontsize=8, color=FAINT)
    return figure


def _label(axes: Axes, left: float, middle: float, name: str, share: int) -> None:
    """A layer's name, and what it is: beside it or, where two share the place, below."""
    sentence = first_sentence(name)
    if share == 1:
        axes.text(left, middle, name, va="center", fontsize=8.5, family="monospace")
        text = textwrap.fill(sentence, 58, break_on_hyphens=False)
        axes.text(left + 1.1, middle, text, va="center", fontsize=7.5, linespacing=1.05)
        return
    higher = 0.09 if share == 2 else 0.0
    axes.text(left, middle + higher, name, va="center", fontsize=8.5, family="monospace")
    if share == 2:
        text = textwrap.shorten(
            sentence.removeprefix(f"{name.capitalize()}: "), 50, placeholder=" …"
        )
        axes.text(left, middle - 0.11, text, va="center", fontsize=6.5)


def _groups(axes: Axes, rows: list[list[str]], height: float) -> None:
    """What the colours mean, at the left of their rows."""
    for colour, name in GROUPS.items():
        mine = [number for number, row in enumerate(rows) if colour_of(row[0]) == colour]
        top, low = height - 0.48 - STEP * mine[0], height - 0.39 - STEP * (mine[-1] + 1)
        axes.plot([1.07, 1.07], [low, top], color=FAINT, lw=1.2)
        axes.text(1.0, (top + low) / 2, name, ha="right", va="center", fontsize=8)


PARTS = {
    "plan context": (0.87, 3.95, "state, noise,\nobservations,\ndeadline", GROUND),
    "product policy": (2.8, 3.95, "denoiser $D(a_t, t)$\nof the joint chunk", MATHEMATICS),
    "guidance": (4.7, 3.95, "guided denoiser\n$D + t^2 g^J$", MATHEMATICS),
    "sampler": (6.6, 3.95, "from $t = t_{max}$ to 0,\nchunks (B, K, A$_i$)", MATHEMATICS),
    "posterior": (2.8, 2.2, "samples\n$a \\sim p(a \\mid a_t)$,\n(B, M, D)", MATHEMATICS),
    "predictor": (4.6, 2.2, "trajectories,\n(B, M, K, …)", MATHEMATICS),
    "cost": (6.3, 2.2, "$J$ (B, M)", MATHEMATICS),
    "plan check": (6.6, 0.65, "finite, shapes,\ncount", TASKS),
    "controller": (3.85, 0.65, "ticks at the control\nrate, never waits", TASKS),
    "plant": (0.87, 0.65, "simulation or\nhardware, a clock", TASKS),
}
"""By name: the box's middle, what is said about it, and its colour."""

WIDE, HIGH = 0.71, 0.44
"""[in] Half of a box's size."""

ARROWS = (
    ((0.87, 1.09), (0.87, 3.51), (0.94, 2.3), "left", "state\nestimate,\nobservation"),
    ((1.58, 3.95), (2.09, 3.95), (0.0, 0.0), "left", ""),
    ((3.51, 3.95), (3.99, 3.95), (3.75, 4.05), "center", "$D$"),
    ((5.41, 3.95), (5.89, 3.95), (5.65, 4.05), "center", "$D^\\pi$"),
    ((4.4, 3.51), (2.9, 2.64), (3.5, 3.15), "right", "at each\nnoise level"),
    ((3.51, 2.2), (3.89, 2.2), (0.0, 0.0), "left", ""),
    ((5.31, 2.2), (5.59, 2.2), (0.0, 0.0), "left", ""),
    ((6.2, 2.64), (5.0, 3.51), (5.84, 3.1), "left", "weights\n$e^{-J/\\lambda}$"),
    ((7.17, 3.51), (7.17, 1.09), (7.1, 2.95), "right", "plan"),
    ((5.89, 0.65), (4.56, 0.65), (5.22, 0.86), "center", "joined where it\nbelongs in time"),
    ((3.14, 0.65), (1.58, 0.65), (2.36, 0.86), "center", "command(chunks,\nstart), or stop()"),
)
"""From where to where, the place of its text, the text's side that is there, and the text."""


def draw_plan() -> Figure:
    """A plan's way, from what is observed to what is commanded."""
    figure, axes = canvas(WIDTH, 4.95)
    box(axes, (1.95, 1.6), (5.55, 3.25), "#f7fafd")
    axes.text(2.08, 4.6, "one plan: planner.plan(context), made by the plan worker", fontsize=8)
    for name, (x, y, text, colour) in PARTS.items():
        box(axes, (x - WIDE, y - HIGH), (2 * WIDE, 2 * HIGH), colour)
        axes.text(x, y + 0.27, name, ha="center", va="center", fontsize=9, weight="bold")
        axes.text(x, y - 0.12, text, ha="center", va="center", fontsize=7.5)
    style = {"arrowstyle": "-|>", "color": INK, "lw": 1.0, "shrinkA": 2, "shrinkB": 2}
    for start, end, place, side, text in ARROWS:
        axes.annotate("", end, start, arrowprops=style)
        axes.text(*place, text, ha=side, va="center", fontsize=7.5, color="#1f4e79")
    return figure


def main() -> None:
    """Draw both pictures."""
    for name, figure in (("layers", draw_layers()), ("plan", draw_plan())):
        # What it was drawn from: a test compares it with the contract.
        described = {"Description": str(layers())} if name == "layers" else {}
        figure.savefig(IMAGES / f"{name}.png", dpi=180, metadata=described)


if __name__ == "__main__":
    main()
