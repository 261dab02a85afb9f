"""``codi franka-recover``: clear the errors of both arms."""

from __future__ import annotations

from collections.abc import Sequence

from codi_core.commands.errors import guarded
from codi_core.commands.output import say
from codi_core.errors import PlantError
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.commands.common import connected, hosts_of, parser_for
from codi_franka.hardware.safety.settings import SafetySettings

PROG = "codi franka-recover"


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = parser_for(
        PROG, "Clear errors of both arms, such as reflexes. Nothing moves; look at the arms first."
    )
    given = parser.parse_args(argv)
    left_over = []
    with connected(hosts_of(given), ArmClock(given.slowdown), SafetySettings()) as (arms, _):
        for arm in arms:
            errors = arm.errors()
            recovered = arm.recover()
            if not recovered:
                left_over.append(arm.name)
            before = f"had the error {', '.join(errors)}" if errors else "had no error"
            say(f"{arm.name} arm: {before}; it {'can move' if recovered else 'still has one'}")
    if left_over:
        raise PlantError(
            f"the error of {' and '.join(left_over)} can't be cleared from here: see what Desk "
            "says, close the user stop, unlock the brakes and activate FCI"
        )
    return 0
