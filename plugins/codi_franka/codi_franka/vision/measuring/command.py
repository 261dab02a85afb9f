"""``codi-bench tracking``: how well the cube is tracked in rendered pictures of the scene."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from codi_core.commands.errors import guarded
from codi_core.commands.options import Parser
from codi_core.commands.output import say, show
from codi_core.files.durable import to_json, write_durably, writing
from codi_core.quantities import whole
from codi_core.version import __version__
from codi_franka.vision.markers import CUBE, MarkedBox
from codi_franka.vision.measuring import situations
from codi_franka.vision.measuring.looks import LOOKS
from codi_franka.vision.measuring.study import Outcome, Studio, count_false, measure
from codi_franka.vision.measuring.views import draw_views

PROG = "codi-bench tracking"
ROWS = (
    ("table", "fixed", "clean"),
    ("table", "fixed", "ordinary"),
    ("table", "fixed", "hard"),
    ("air", "fixed", "ordinary"),
    ("air", "fixed", "hard"),
    ("held", "fixed", "ordinary"),
    ("below", "wrist", "ordinary"),
    ("held", "wrist", "ordinary"),
)
"""Situation, cameras and look; then the box of other shape."""
OTHER_BOX = ((0.05, 0.06, 0.09), 0.04)


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog=PROG,
        description="Render the scene with a marked cube, spoil the pictures as cameras do (noise, "
        "blur, bent lenses, uneven light, JPEG, a hand in front), track the cube in them, and "
        "compare with where it was. Then look for it where there is none.",
    )
    parser.add_argument(
        "--moments", type=whole(0), default=100, help="a row (default: %(default)s)"
    )
    parser.add_argument(
        "--empty",
        type=whole(0),
        default=10_000,
        metavar="N",
        help="pictures without a marker (default: %(default)s)",
    )
    parser.add_argument("--seed", type=whole(0), default=0, help="of all that is random")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/tracking"),
        metavar="DIR",
        help="for tracking.json (default: %(default)s)",
    )
    parser.add_argument(
        "--pictures", action="store_true", help="also draw views.jpg: what cameras see, and find"
    )
    given = parser.parse_args(arguments)
    document: dict[str, Any] = {
        "command": ["codi-bench", "tracking", *arguments],
        "version": __version__,
        "rows": [],
        "empty": None,
    }
    with writing(given.output):
        path = given.output / "tracking.json"
        for row in _rows(given.moments, given.seed) if given.moments else ():
            document["rows"].append(row)
            write_durably(path, to_json(document))
        if given.moments:
            _print(document["rows"])
        if given.empty:

            def keep(tally: dict[str, int]) -> None:
                document["empty"] = tally
                write_durably(path, to_json(document))

            _empty(given.empty, given.seed, keep)
            say("without the box's markers: {pictures} pictures, {marker} with one read "
                "nevertheless, {pose} poses".format(**document["empty"]))  # fmt: skip
        if given.pictures:
            say(f"wrote {draw_views(given.output / 'views.jpg', given.seed)}")
    say(f"wrote {path}")
    return 0


def _rows(moments: int, seed: int) -> Any:
    for number, names in enumerate(ROWS):
        yield _row(CUBE, names, moments, (seed, number))
    yield _row(MarkedBox(*OTHER_BOX), ("table", "fixed", "ordinary"), moments, (seed, len(ROWS)))


def _row(
    box: MarkedBox, names: tuple[str, str, str], moments: int, seed: tuple[int, int]
) -> dict[str, Any]:
    situation, where, look = names
    random = np.random.default_rng(seed)
    fixed = where == "fixed"
    cameras = situations.FIXED_CAMERAS if fixed else situations.WRIST_CAMERAS
    draws = situations.SITUATIONS if fixed else situations.WRIST_SITUATIONS
    studio = Studio(cameras, box, random)
    try:
        outcomes = measure(studio, draws[situation], LOOKS[look], moments, random)
    finally:
        studio.close()
    size = " x ".join(f"{1000 * edge:g}" for edge in box.size)
    return {
        "box": size,
        "situation": situation,
        "cameras": where,
        "look": look,
        **summary(outcomes),
    }


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What is reported of a row; distances in mm, angles in degrees, times in ms."""
    found = [outcome for outcome in outcomes if outcome.refusal is None]
    both = [outcome for outcome in found if outcome.cameras > 1]
    refusals = [outcome.refusal for outcome in outcomes if outcome.refusal]
    steps = np.array([outcome.step for outcome in both]).reshape(-1, 6)
    return {
        "moments": len(outcomes),
        "refused": {text: refusals.count(text) for text in sorted(set(refusals))},
        "all": _quantiles(found),
        "both cameras": _quantiles(both),
        "std": {
            "position_mm": (1000 * steps[:, :3].std(0)) if len(steps) else None,
            "rotation_deg": np.degrees(steps[:, 3:].std(0)) if len(steps) else None,
        },
        "ms": 1000 * float(np.median([outcome.seconds for outcome in outcomes])),
    }


def _quantiles(found: Sequence[Outcome]) -> dict[str, Any]:
    if not found:
        return {"count": 0}
    away = 1000 * np.array([outcome.away for outcome in found])
    turned = np.degrees([outcome.turned for outcome in found])
    spread = 1000 * np.array([outcome.spread for outcome in found])
    return {
        "count": len(found),
        "mm": np.quantile(away, (0.5, 0.95, 1.0)),
        "deg": np.quantile(turned, (0.5, 0.95, 1.0)),
        "claimed_mm": float(np.median(spread)),
        "surprise": float(np.sqrt(np.mean((away / spread) ** 2))),
    }


def _empty(count: int, seed: int, keep: Callable[[dict[str, int]], None]) -> None:
    random = np.random.default_rng((seed, 100))
    count_false(situations.FIXED_CAMERAS[0], list(LOOKS.values()), count, random, keep)


def _print(rows: Sequence[dict[str, Any]]) -> None:
    table = Table("box [mm]", "situation", "cameras", "look")
    for heading in ("seen by", "poses", "median", "95 %", "worst", "median", "95 %", "claimed"):
        table.add_column(heading, justify="right")
    for row in rows:
        names = [row["box"], row["situation"], row["cameras"], row["look"]]
        for who in ("both cameras", "all"):
            values = row[who]
            count = f"{values['count']} of {row['moments']}"
            if not values["count"]:
                table.add_row(*names, who, count)
                continue
            lengths = [f"{value:.2f} mm" for value in values["mm"]]
            angles = [f"{value:.2f}°" for value in values["deg"][:2]]
            table.add_row(*names, who, count, *lengths, *angles, f"{values['claimed_mm']:.2f} mm")
    show(table, width=150)
