"""``codi franka-home``: bring both arms to where episodes start."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from codi_core.commands.errors import guarded
from codi_core.commands.output import say
from codi_core.errors import CodiError, PlantError
from codi_core.quantities import positive
from codi_franka.hardware.arms.gripper_worker import GripperWorker
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.commands.common import connected, hosts_of, parser_for
from codi_franka.hardware.homing import SPEED, go_home
from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.robot.parameters import MAX_WIDTH

PROG = "codi franka-home"


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = parser_for(
        PROG, "Open both hands and bring both arms slowly, by themselves, to where episodes start."
    )
    parser.add_argument("--yes", action="store_true", help="don't ask whether the cell is free")
    parser.add_argument(
        "--speed",
        type=positive,
        default=SPEED,
        metavar="X",
        help=f"of the fastest joint [rad/s] (default: {SPEED:g})",
    )
    parser.add_argument(
        "--hands", action="store_true", help="have the hands learn how far they open, first"
    )
    given = parser.parse_args(argv)
    if not given.yes and not _free():
        raise CodiError("nothing was moved")
    clock = ArmClock(given.slowdown)
    with connected(hosts_of(given), clock, SafetySettings()) as (arms, hands):
        if given.hands:
            home_hands(hands)
        for hand in hands:
            hand.want(MAX_WIDTH)
        go_home(arms, clock, given.speed)
    say("both arms are where episodes start")
    return 0


def home_hands(hands: Sequence[GripperWorker]) -> None:
    """Have hands learn how far they open.

    Raises:
        PlantError: one doesn't.
    """
    for hand in hands:
        if not hand.home():
            raise PlantError(
                f"the {hand.name} hand could not be homed: take out what is between its fingers, "
                "or switch it off and on in Desk"
            )


def _free() -> bool:
    """Whether somebody says that the arms may move."""
    if not sys.stdin.isatty():
        raise CodiError("both arms would move, and there is nobody to ask: add --yes")
    answer = input("Both arms will move. Is the cell free, and a hand on the stop button? [y/N] ")
    return answer.strip().lower() in ("y", "yes")
