"""``codi franka-check``: what is ready for a run, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from codi_core.commands.errors import guarded
from codi_core.commands.output import say
from codi_core.errors import CodiError
from codi_core.quantities import positive
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.commands.cell import check_cell, check_network
from codi_franka.hardware.commands.common import connected, hosts_of, parser_for
from codi_franka.hardware.commands.findings import Finding, Result
from codi_franka.hardware.commands.machine import (
    check_calibration,
    check_kernel,
    check_library,
    check_priorities,
    check_reachable,
)
from codi_franka.hardware.driver import simulated
from codi_franka.hardware.safety.settings import SafetySettings

PROG = "codi franka-check"


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 1 if something isn't ready."""
    parser = parser_for(
        PROG,
        "Check all that a run with two arms needs. Nothing moves. Exits with 1 if something is "
        "not ready.",
    )
    parser.add_argument(
        "--seconds",
        type=positive,
        default=5.0,
        metavar="S",
        help="how long each arm is listened to (default: 5)",
    )
    parser.add_argument(
        "--calibration", type=Path, metavar="PATH", help="the cameras' file, to check it, too"
    )
    given = parser.parse_args(argv)
    findings = []
    for finding in check(hosts_of(given), ArmClock(given.slowdown), given.seconds):
        findings.append(finding)
        say(finding.line)
    if given.calibration is not None:
        findings.append(check_calibration(given.calibration))
        say(findings[-1].line)
    bad = sum(finding.result is Result.BAD for finding in findings)
    say(f"{bad} of {len(findings)} checks failed" if bad else "ready")
    return 1 if bad else 0


def check(hosts: Mapping[str, str], clock: ArmClock, seconds: float) -> Iterator[Finding]:
    """Check one thing after the other; what rests on something that failed is left out.

    Args:
        hosts: the arms' addresses by their names.
        clock: their seconds.
        seconds: how long each arm is listened to.
    """
    real = not simulated(hosts)
    yield check_kernel(real)
    yield check_priorities(real)
    library = check_library()
    yield library
    reachable = [check_reachable(arm, host) for arm, host in hosts.items()]
    yield from reachable
    if any(finding.result is Result.BAD for finding in (library, *reachable)):
        return
    try:
        with connected(hosts, clock, SafetySettings()) as (arms, hands):
            yield from check_network(arms, clock, seconds)
            yield from check_cell(arms, hands, clock)
    except CodiError as error:
        remedy = "close other programs that use the arms, unlock the brakes and activate FCI"
        yield Finding("connection", Result.BAD, str(error), remedy)
