"""The tasks' own options."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from codi_core.errors import UsageError

MOST_ROBOTS = 1024
RADII = (0.05, 0.25)
"""[m] The smallest and the largest robot."""


def _agents(_: object, __: Any, value: int) -> None:
    if not 2 <= value <= MOST_ROBOTS:
        raise UsageError(f"--agents must be between 2 and {MOST_ROBOTS}, not {value}")


def _radius(_: object, __: Any, value: float) -> None:
    if not RADII[0] <= value <= RADII[1]:
        raise UsageError(f"--radius must be between {RADII[0]} m and {RADII[1]} m, not {value:g}")


def agents_field(default: int, what: str = "N, the number of robots") -> Any:
    """The option ``--agents`` with a scenario's own default."""
    return attrs.field(default=default, validator=_agents, metadata={"help": what})


def radius_field(what: str = "of the robots [m]") -> Any:
    """The option ``--radius``."""
    return attrs.field(default=0.15, validator=_radius, metadata={"help": what})


@attrs.frozen(kw_only=True)
class NavigationOptions:
    """Options that all scenarios share."""

    agents: int = agents_field(8)
    radius: float = radius_field()
    vehicle: Literal["holonomic", "unicycle", "mixed"] = attrs.field(
        default="holonomic",
        validator=attrs.validators.in_(("holonomic", "unicycle", "mixed")),
        metadata={"help": "the robots' kind; mixed teams have both, with a base policy each"},
    )
    stop_at_contact: bool = attrs.field(
        default=True,
        metadata={
            "help": "end an episode with its first contact; otherwise bodies stop one another and "
            "it goes on, but is a failure all the same"
        },
    )


@attrs.frozen(kw_only=True)
class CollectionOptions:
    """Options that demonstrations depend on: maps and radii are random, and a robot is alone."""

    vehicle: Literal["holonomic", "unicycle"] = attrs.field(
        default="holonomic", metadata={"help": "the robot's kind"}
    )
