"""How long students take to draw, in turn, for as many agents and samples as a search draws.

    python benchmarks/students.py runs/one/checkpoint.safetensors runs/other/checkpoint.safetensors
    python benchmarks/students.py STUDENT --agents 128 --samples 25 --mlp 96x3x2 128x3x2

The students are of one policy, or of ones that read and write the same. ``--mlp`` and ``--unet``
add untrained networks of other sizes in the first student's place: how long they take does not
depend on their weights. All of them draw once in each round, so a machine whose speed drifts slows
all of them down.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reporting import options, save, table

from codi_core.policies import DiffusionPolicy, Student
from codi_core.training.students import load_student


def other(first: Student, kind: str, **sizes: Any) -> Student:
    """An untrained student with another network."""
    return Student(DiffusionPolicy.build(first.spec, kind, **sizes), first.levels)


def students(given: argparse.Namespace) -> dict[str, Student]:
    """What is measured, by the names in the table."""
    found = {path: load_student(path) for path in given.students}
    first = found[given.students[0]]
    for text in given.mlp:
        width, depth, expansion = map(int, text.split("x"))
        found[f"mlp {text}"] = other(first, "mlp", width=width, depth=depth, expansion=expansion)
    for text in given.unet:
        found[f"unet {text}"] = other(first, "unet", widths=tuple(map(int, text.split("x"))))
    return found


@torch.inference_mode()
def measure(found: dict[str, Student], given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Milliseconds of each student's draws, by the clock and of the processor."""
    generator = torch.Generator().manual_seed(given.seed)
    spec = next(iter(found.values())).spec
    observation = {
        name: torch.randn(given.agents, spec.history, *shape, generator=generator)
        for name, shape in spec.observation.items()
    }
    noise = torch.randn(given.agents, given.samples, spec.action.size, generator=generator)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    for _ in range(given.repeats + 1):
        for name, student in found.items():
            clock, processor = time.perf_counter(), time.process_time()
            student.sample(observation, noise)
            ends = time.perf_counter() - clock, time.process_time() - processor
            spent[name].append(ends)
    # The first round warms up.
    ends = {name: 1e3 * np.array(values[1:]) for name, values in spent.items()}
    return {
        name: {
            "median_ms": float(np.median(values[:, 0])),
            "least_ms": float(values[:, 0].min()),
            "processor_ms": float(np.median(values[:, 1])),
            "weights": sum(weight.numel() for weight in found[name].parameters()),
        }
        for name, values in ends.items()
    }


def main() -> int:
    given = _given()
    torch.set_num_threads(1)
    figures = measure(students(given), given)
    rows = [
        [Path(name).stem if Path(name).suffix else name, *values.values()]
        for name, values in figures.items()
    ]
    table(
        f"{given.repeats} draws each, {given.agents} agents, {given.samples} samples of each, "
        "one thread",
        ["student", "median [ms]", "least [ms]", "processor [ms]", "weights"],
        rows,
    )
    save(given.json, {"draws": figures})
    return 0


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("students", nargs="+", metavar="STUDENT", help="checkpoints")
    parser.add_argument("--agents", type=int, default=2, help="states (default: 2)")
    parser.add_argument("--samples", type=int, default=50, help="in each (default: 50)")
    parser.add_argument("--repeats", type=int, default=40, help="rounds (default: 40)")
    parser.add_argument(
        "--mlp", nargs="+", default=[], metavar="WIDTHxDEPTHxEXPANSION", help="MLPs besides"
    )
    parser.add_argument(
        "--unet", nargs="+", default=[], metavar="WIDTHxWIDTH", help="U-Nets besides"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
