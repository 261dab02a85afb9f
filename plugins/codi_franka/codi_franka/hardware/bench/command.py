"""``codi-bench hardware``: twelve-minute runs and faults against simulated arms."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from codi_core.commands.errors import guarded
from codi_core.commands.options import Parser
from codi_core.commands.output import say
from codi_core.errors import UsageError
from codi_core.files.durable import to_json, write_durably, writing
from codi_core.quantities import positive, whole
from codi_franka.hardware.bench.faults.job import add_options, faults
from codi_franka.hardware.bench.runs_job import add_run_options, long_runs
from codi_franka.hardware.bench.strict import StrictRun, strict_run
from codi_franka.hardware.trials.hostile import Findings, hostile_trial

PROG = "codi-bench hardware"
KEPT = 50
"""After so many hostile sequences what was found is kept: a run that is interrupted goes on."""
EXAMPLES = """examples:
  codi-bench hardware runs --seconds 720 --runs 3 --slowdown 1
  codi-bench hardware runs --seconds 60 --runs 1 --slowdown 3 --preset fast
  codi-bench hardware runs --runs 1 --slowdown 4 --cameras fixed
  codi-bench hardware runs --runs 1 --slowdown 2 --seconds 3000 --attempts 50 --box 50 60 70
  codi-bench hardware hostile --sequences 10000
  codi-bench hardware strict --sequences 300 --slowdown 3
  codi-bench hardware faults --slowdown 4
"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    given = _parser().parse_args(argv)
    job: Callable[[argparse.Namespace], int] = given.job
    return job(given)


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Drive simulated arms that speak the robots' network protocol, from a "
        "checkout. Their environments are made in .peers/ when they are needed first.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    jobs = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    runs = _job(jobs, "runs", long_runs, "long runs with the physics peer")
    add_run_options(runs)
    text = "hostile commands through the safety layer alone"
    _add_sequences(_job(jobs, "hostile", _hostile, text), 10_000)
    text = "hostile commands through the safety layer, over the wire to the strict peer"
    strict = _job(jobs, "strict", _strict, text)
    _add_sequences(strict, 300)
    faulty = _job(jobs, "faults", faults, "things that go wrong while both arms move")
    add_options(faulty)
    for driving in (runs, strict, faulty):
        driving.add_argument(
            "--slowdown",
            type=positive,
            default=1.0,
            metavar="X",
            help="about how many real seconds a second of the arms takes: more than 1 where the "
            "machine can't keep up (default: 1)",
        )
    return parser


def _job(jobs: Any, name: str, job: Callable[[argparse.Namespace], int], text: str) -> Parser:
    parser: Parser = jobs.add_parser(name, prog=f"{PROG} {name}", help=text, description=text)
    parser.set_defaults(job=job)
    parser.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="of all that is random (default: 0)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/hardware"), metavar="DIR", help="the folder"
    )
    return parser


def _add_sequences(parser: Parser, count: int) -> None:
    parser.add_argument(
        "--sequences",
        type=whole(1),
        default=count,
        metavar="N",
        help="how many (default: %(default)s)",
    )


def _strict(given: argparse.Namespace) -> int:
    """Hostile commands through the safety layer, over the wire to arms that stop at a violation."""
    path = given.output / "strict.json"

    def tell(found: StrictRun) -> None:
        write_durably(path, to_json(attrs.asdict(found)))
        if found.sequences % 50 == 0:
            say(found.summary)

    with writing(given.output):
        found = strict_run(given.sequences, given.seed, given.slowdown, tell)
    say(found.summary)
    for fault in found.faults[:10]:
        say(fault)
    say(f"wrote {path}")
    return 1 if found.faults else 0


def _hostile(given: argparse.Namespace) -> int:
    """Hostile commands through the safety layer, judged by what Franka publishes."""
    path = given.output / "hostile.json"

    def keep(findings: Findings) -> None:
        write_durably(path, to_json({"seed": given.seed, **attrs.asdict(findings)}))

    def tell(number: int, findings: Findings) -> None:
        if (number + 1) % KEPT == 0:
            keep(findings)
        if (number + 1) % 500 == 0:
            say(f"{number + 1} sequences: {findings.summary}")

    with writing(given.output):
        findings = _earlier(path, given.seed)
        if findings.sequences:
            say(f"going on after the {findings.sequences} sequences of {path}")
        hostile_trial(given.sequences, given.seed, findings=findings, tell=tell)
        keep(findings)
    say(f"{findings.sequences} sequences, {findings.periods} commands: {findings.summary}")
    say(f"wrote {path}")
    return 0 if findings.harmless else 1


def _earlier(path: Path, seed: int) -> Findings:
    """What an earlier run with that seed has found, if there was one."""
    if not path.exists():
        return Findings()
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        found_with = there.pop("seed")
        counts: dict[str, Any] = {
            name: Counter(there.pop(name)) for name in ("stops", "rejections")
        }
        findings = Findings(**there, **counts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"'{path}' is damaged ({error!r}): choose another folder with --output"
        ) from error
    return findings if found_with == seed else Findings()
