"""What an action is: a command to one vehicle, at 10 Hz in chunks of 16."""

from __future__ import annotations

from codi_core.policies import ActionSpec
from codi_navigation.vehicles import VEHICLES, Team
from codi_navigation.vehicles.base import PERIOD

RATE_HZ = 1 / PERIOD
HORIZON = 16


def action_spec(kind: str) -> ActionSpec:
    """The chunks of a vehicle kind."""
    return ActionSpec(names=VEHICLES[kind].action_names, horizon=HORIZON, rate_hz=RATE_HZ)


def joint_action_spec(team: Team) -> ActionSpec:
    """The chunks of all robots of a team, one after another."""
    names = (
        f"{robot}/{name}"
        for kind, robot in zip(team.kinds, team.names, strict=True)
        for name in VEHICLES[kind].action_names
    )
    return ActionSpec(names=tuple(names), horizon=HORIZON, rate_hz=RATE_HZ)
