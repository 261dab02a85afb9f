"""``codi-bench hardware faults``: its options, and the run through all cases."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from codi_core.commands.output import say
from codi_core.evaluation.progress import Lines, live_bar
from codi_core.files.durable import writing
from codi_franka.hardware.bench.faults.case import Outcome, Setup
from codi_franka.hardware.bench.faults.catalogue import FAULTS, Names, pairs, singles
from codi_franka.hardware.bench.faults.results import DOCUMENT, TABLE, Results, stopped, summary
from codi_franka.hardware.bench.faults.serving import Server
from codi_franka.hardware.safety.settings import PRESETS

DESCRIPTION = """Let things go wrong while both arms move, and say what comes of it.

Each case starts two simulated arms that stop at any violation, puts a network between them and the
driver that can be made bad, has a process plan that both hands go to and fro, and cameras see a
cube. After a second its fault happens. Measured is what passes the network, by the arms' own time:

  ended        goes on, waits (stands until the cube is seen again), stops, crashes or hangs
  stop         from when it was found that both arms must stand until both do
  by itself    how long an arm takes to stand that can't be reached, or stops at its own error
  verdict      good if both stand in time, all commands kept the published limits, the recording
               can be read, and, where the fault is over, the next episode runs

A case whose outcome is in the folder is not run again; so an interrupted run goes on where it was.
"""
EXAMPLES = """examples:
  codi-bench hardware faults                              all of them, one by one
  codi-bench hardware faults --only cable reflex          two of them
  codi-bench hardware faults --pairs                      two at once, in all combinations
  codi-bench hardware faults --pairs --only cable reflex loss-5 --again
  codi-bench hardware faults --list                       what there is, and what was found so far
"""
_STARTING = 180.0
"""[s] For which a case may start and end, besides the arms' motion."""
_ARM_SECONDS = 12.0
"""[s] Of the arms in the longest case."""
_SLOWER = 6.0
"""By how much slower than asked for a busy machine may be."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the job, besides those that others have, too."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="NAME", help="these faults alone; see --list"
    )
    parser.add_argument("--pairs", action="store_true", help="two faults at once")
    parser.add_argument(
        "--list", action="store_true", help="list the faults with what was found, and run nothing"
    )
    parser.add_argument(
        "--again", action="store_true", help="run cases again whose outcome is there"
    )
    parser.add_argument(
        "--most",
        type=int,
        metavar="N",
        help="run at most so many cases, then say how many are left",
    )
    parser.add_argument(
        "--safety",
        choices=tuple(PRESETS),
        default="normal",
        help="the driver's safety settings: with full, arms are faster and stop within 0.3 s "
        "(default: %(default)s)",
    )


def faults(given: argparse.Namespace) -> int:
    """Run the job; returns the exit code."""
    with writing(given.output):
        results = Results(given.output, given.safety)
        if given.list:
            _list(results)
            return 0
        wanted = pairs(given.only) if given.pairs else singles(given.only)
        left = [names for names in wanted if given.again or not results.has(names)]
        _run(given, results, left[: given.most])
    mine = [outcome for outcome in results.outcomes if outcome.faults in wanted]
    say(f"{len(mine)} of {len(wanted)} cases were run: {summary(mine)}")
    say(f"wrote {given.output / DOCUMENT} and {given.output / TABLE}")
    return 1 if any(outcome.wrong for outcome in mine) else 0


def _run(given: argparse.Namespace, results: Results, cases: Sequence[Names]) -> None:
    patience = _STARTING + _ARM_SECONDS * given.slowdown * _SLOWER
    with ExitStack() as opened:
        server = opened.enter_context(Server(patience))
        show = _progress(opened, len(cases))
        for number, names in enumerate(cases):
            show(number, " + ".join(names))
            folder = given.output / "cases" / "+".join(names)
            shutil.rmtree(folder, ignore_errors=True)
            outcome = server.run(Setup(names, given.slowdown, given.safety, folder, given.seed))
            results.add(outcome)
            say(line(outcome))


def _progress(opened: ExitStack, cases: int) -> Callable[[int, str], None]:
    """A bar on a terminal, lines elsewhere: told how many cases are done, and what is run."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        lines = Lines()
        return lambda done, text: lines.write(f"{done} of {cases} cases, running {text}")
    bar: Any = opened.enter_context(
        live_bar(console, "{task.fields[done]} cases", "{task.fields[text]}")
    )
    task = bar.add_task("", total=max(cases, 1), done="", text="")
    return lambda done, text: bar.update(task, completed=done, done=f"{done}/{cases}", text=text)


def line(outcome: Outcome) -> str:
    """An outcome in one line."""
    facts = [outcome.ended]
    if outcome.stop is not None:
        facts.append(f"both stood {stopped(outcome)}")
    if outcome.alone is not None:
        facts.append(f"one by itself after {outcome.alone:.2f} s")
    if outcome.said:
        facts.append(" ".join(outcome.said.split())[:120])
    verdict = "good" if not outcome.wrong else "NOT GOOD, " + "; ".join(outcome.wrong)
    return f"{' + '.join(outcome.faults)}: {', '.join(facts)}: {verdict}"


def _list(results: Results) -> None:
    found = {outcome.faults: line(outcome).partition(": ")[2] for outcome in results.outcomes}
    for name, fault in FAULTS.items():
        say(f"{name:<15} {fault.text}")
        if (name,) in found:
            say(f"{'':<15} {found[name,]}")
    done = [outcome for outcome in results.outcomes if len(outcome.faults) > 1]
    say(f"{len(done)} of {len(pairs())} pairs were run")
