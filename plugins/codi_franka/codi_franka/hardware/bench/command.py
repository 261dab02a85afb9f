"""``codi-bench hardware``: twelve-minute runs and faults against simulated arms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from codi_core.commands.errors import guarded
from codi_core.commands.options import Parser
from codi_core.commands.output import say
from codi_core.files.durable import to_json, write_durably, writing
from codi_core.quantities import positive, whole
from codi_franka.hardware.bench.runs import LongRun, long_run
from codi_franka.hardware.bench.strict import strict_run
from codi_franka.hardware.trials.hostile import Findings, hostile_trial

PROG = "codi-bench hardware"
EXAMPLES = """examples:
  codi-bench hardware runs --seconds 720 --runs 3 --slowdown 1
  codi-bench hardware hostile --sequences 10000
  codi-bench hardware runs --seconds 60 --runs 1 --slowdown 3 --preset fast
  codi-bench hardware strict --sequences 300 --slowdown 3
"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    parser = Parser(
        prog=PROG,
        description="Drive simulated arms that speak the robots' network protocol, from a "
        "checkout. Their environments are made in .peers/ when they are needed first.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "what",
        choices=("runs", "hostile", "strict"),
        help="long runs with the physics peer; hostile commands through the safety layer alone, "
        "or over the wire to the strict peer",
    )
    parser.add_argument(
        "--seconds", type=positive, default=720.0, metavar="S", help="of each run (default: 720)"
    )
    parser.add_argument(
        "--runs", type=whole(1), default=3, metavar="N", help="how many runs (default: 3)"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="of the first one (default: 0)"
    )
    parser.add_argument(
        "--slowdown",
        type=positive,
        default=1.0,
        metavar="X",
        help="about how many real seconds a second of the arms takes: more than 1 where the "
        "machine can't keep up (default: 1)",
    )
    parser.add_argument(
        "--sequences",
        type=whole(1),
        metavar="N",
        help="how many hostile ones (default: 10000, for the strict peer 300)",
    )
    parser.add_argument("--preset", metavar="NAME", help="of the task's options for planning")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/hardware"), metavar="DIR", help="the folder"
    )
    given = parser.parse_args(argv)
    if given.what == "hostile":
        return hostile(given.sequences or 10_000, given.seed, given.output)
    if given.what == "strict":
        return strict(given.sequences or 300, given.seed, given.slowdown)
    options = {} if given.preset is None else {"preset": given.preset}
    runs = []
    for seed in range(given.seed, given.seed + given.runs):
        folder = given.output / f"run-{seed}"
        runs.append(long_run(seed, given.seconds, given.slowdown, folder, options))
        say(line(runs[-1]))
        results = [attrs.asdict(each) for each in runs]
        write_durably(given.output / "runs.json", to_json(results))
    say(f"wrote {given.output / 'runs.json'}")
    return 0


def strict(sequences: int, seed: int, slowdown: float) -> int:
    """Hostile commands through the safety layer, over the wire to arms that stop at a violation."""
    found = strict_run(sequences, seed, slowdown)
    say(
        f"{found.sequences} hostile sequences: both arms stopped {found.stops} times by the safety "
        f"layer, {len(found.faults)} times by themselves"
    )
    for fault in found.faults[:10]:
        say(fault)
    return 1 if found.faults else 0


def hostile(sequences: int, seed: int, output: Path) -> int:
    """Hostile commands through the safety layer, judged by what Franka publishes."""

    def tell(number: int, findings: Findings) -> None:
        if (number + 1) % 500 == 0:
            say(f"{number + 1} sequences: {findings.summary}")

    findings = hostile_trial(sequences, seed, tell=tell)
    say(f"{sequences} sequences, {findings.periods} commands: {findings.summary}")
    path = output / "hostile.json"
    with writing(output):
        write_durably(path, to_json(attrs.asdict(findings)))
    say(f"wrote {path}")
    return 0 if findings.harmless else 1


def line(run: LongRun) -> str:
    """One run in one line."""
    checked = ", ".join(
        f"{arm} {report.violations} of {report.commands} commands outside the limits"
        for arm, report in run.wire.items()
    )
    ended = "" if run.failure is None else f"; ended early: {run.failure}"
    return (
        f"seed {run.seed}: {run.deliveries} of {run.attempts} attempts delivered, "
        f"{run.slowdown:g} times slower than real time; {checked}{ended}"
    )
