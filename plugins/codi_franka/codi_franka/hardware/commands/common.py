"""What the commands for arms have in common."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from codi_core.commands.options import Parser
from codi_core.quantities import positive
from codi_franka.hardware.arms.franky_links import FrankyArm
from codi_franka.hardware.arms.gripper_worker import GripperWorker
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.driver import connect
from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.robot.cell import ARMS


def parser_for(prog: str, description: str) -> Parser:
    """A parser that asks for the arms' addresses."""
    parser = Parser(prog=prog, description=description)
    for arm in ARMS:
        parser.add_argument(
            f"--{arm}", required=True, metavar="IP", help=f"the {arm} arm's address"
        )
    parser.add_argument(
        "--slowdown",
        type=positive,
        default=1.0,
        metavar="X",
        help="about how many real seconds a second of simulated arms takes (default: 1)",
    )
    return parser


def hosts_of(given: argparse.Namespace) -> dict[str, str]:
    """The arms' addresses by their names."""
    return {arm: getattr(given, arm) for arm in ARMS}


@contextmanager
def connected(
    hosts: Mapping[str, str], clock: ArmClock, settings: SafetySettings
) -> Iterator[tuple[list[FrankyArm], list[GripperWorker]]]:
    """Both arms and their hands' workers, for a while.

    Raises:
        PlantError: one does not answer.
    """
    with ExitStack() as opened:
        arms, hands = connect(hosts, clock, settings, opened)
        for arm in arms:
            opened.callback(arm.close)
        yield arms, hands
