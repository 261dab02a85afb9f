"""Is this checkout slower than another one? Replans of both, in turn, and the ratio of each pair.

    git worktree add ../before COMMIT
    python benchmarks/paired.py --against ../before

Each benchmark is run as a process of its own in either checkout, A B B A A B …, so that a machine
whose speed drifts slows both down. The ratio is this one over the other; above it stands the upper
95 % bound of its median, by bootstrap.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from reporting import CONSOLE, options, save, table, verdict

HERE = Path(__file__).resolve().parent.parent
BAR = 1.05


@attrs.frozen
class Comparison:
    """A benchmark of both checkouts.

    Attributes:
        script: its file in ``benchmarks/``.
        arguments: its options.
        seconds: from its figures to what is compared; more is slower.
    """

    script: str
    arguments: tuple[str, ...]
    seconds: Callable[[Mapping[str, Any]], float]


COMPARISONS = {
    "one plan, kinematic": Comparison(
        "planning.py", ("--repeats", "25"), lambda found: found["plan_ms"]["median"]
    ),
    "rollouts under physics": Comparison(
        "mujoco_predictor.py",
        ("--repeats", "10"),
        lambda found: 1.0 / found["rollouts_per_second"]["predictor"],
    ),
    "one plan, 8 robots": Comparison(
        "navigation_scaling.py",
        ("--agents", "8", "--episodes", "0", "--repeats", "25"),
        lambda found: found["rows"][0]["plan_ms"]["median"],
    ),
}


def measure(checkout: Path, comparison: Comparison) -> float:
    """Run one benchmark in one checkout."""
    folders = [checkout, *sorted((checkout / "plugins").iterdir())]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        script = checkout / "benchmarks" / comparison.script
        command = [sys.executable, str(script), *comparison.arguments, "--json", str(figures)]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        return comparison.seconds(json.loads(figures.read_text(encoding="utf-8")))


def ratios(comparison: Comparison, other: Path, pairs: int) -> NDArray[np.float64]:
    """This checkout's time over the other's, (pairs,)."""
    found = []
    for number in range(pairs):
        order = (HERE, other) if number % 2 == 0 else (other, HERE)
        seconds = {checkout: measure(checkout, comparison) for checkout in order}
        found.append(seconds[HERE] / seconds[other])
    return np.array(found)


def upper_bound(values: NDArray[np.float64], seed: int) -> float:
    """The upper 95 % bound of the median, by bootstrap."""
    drawn = np.random.default_rng(seed).choice(values, (4000, len(values)))
    return float(np.percentile(np.median(drawn, 1), 95))


def main() -> int:
    given = _given()
    rows, figures = [], {}
    for name, comparison in COMPARISONS.items():
        if given.only and name not in given.only:
            continue
        CONSOLE.print(f"{name}: {given.pairs} pairs", highlight=False)
        found = ratios(comparison, given.against.resolve(), given.pairs)
        bound = upper_bound(found, given.seed)
        figures[name] = {
            "ratios": found.tolist(),
            "median": float(np.median(found)),
            "upper": bound,
        }
        rows.append([name, float(np.median(found)), float(found.min()), float(found.max()), bound])
    columns = ["this / other", "median", "least", "most", "upper 95 % bound"]
    table(f"{given.pairs} pairs each", columns, rows)
    for name, entry in figures.items():
        verdict(f"{name}: upper bound at most {BAR:g}", entry["upper"] <= BAR)
    save(given.json, figures)
    return 0


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--against", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--pairs", type=int, default=10, help="of runs (default: 10)")
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, metavar="NAME")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
