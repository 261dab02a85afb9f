"""What each robot's policy sees: f_single^(i), and nothing of any other robot.

A robot's own axes are the world's for a holonomic robot, which never turns, and forward and left
for a unicycle. Where the robot stands in the world is not observed, so that the policy works on
maps that it was not trained on.

``observation.state`` (2): the robot's velocity, in the terms of its commands: along its axes [m/s]
(holonomic), or forward [m/s] and turning [rad/s] (unicycle).

``observation.environment_state`` (31), along the robot's own axes: two points on its shortest path
to the goal (what a single robot plans for itself on the map, without other robots), 0.6 m and 1.8 m
ahead and divided by these distances (4); the offset g to the goal squashed to
g tanh(‖g‖ / 0.2 m) / ‖g‖ (2), which resolves centimetres; the distance d still to go as
d / (d + 1 m) (1); and for 24 rays at every 15°, anticlockwise from the robot's x axis,
exp(-c / 0.4 m) with the clearance c from the robot's rim to an obstacle, up to 2 m (24).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from codi_core.planning import Observation
from codi_navigation.maps.rays import cast
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import VEHICLES, Team

STATE = "observation.state"
ENVIRONMENT = "observation.environment_state"

AHEAD = (0.6, 1.8)
"""[m] How far ahead on its path a robot looks."""
NEAR = 0.2
"""[m] The scale on which the offset to the goal is resolved."""
RAYS = 24
RANGE = 2.0
"""[m] How far from its rim a robot sees obstacles."""
DECAY = 0.4
"""[m] The scale on which clearances are resolved."""

SHAPES = {STATE: (2,), ENVIRONMENT: (7 + RAYS,)}

ENVIRONMENT_NAMES = (
    *(f"path_{distance:g}m_ahead_{axis}" for distance in AHEAD for axis in "xy"),
    *(f"goal_near_{axis}" for axis in "xy"),
    "distance_to_go",
    *(f"clearance_at_{360 * ray // RAYS}_degrees" for ray in range(RAYS)),
)


def state_names(kind: str) -> tuple[str, ...]:
    """The names of the numbers in ``observation.state`` of a vehicle kind."""
    return VEHICLES[kind].action_names


def observe(state: NavigationState, team: Team) -> Observation:
    """The joint observation: ``robotI/NAME`` for each robot and each name, (B, n) each."""
    around = _around(state)
    return {
        f"{robot}/{name}": value[:, index]
        for index, robot in enumerate(team.names)
        for name, value in ((STATE, state.velocity), (ENVIRONMENT, around))
    }


def _around(state: NavigationState) -> Tensor:
    """``observation.environment_state`` of all robots, (B, N, 31)."""
    here, routes = state.position, state.routes
    ahead = [
        _turned(point - here, state.heading) / distance
        for point, distance in zip(routes.ahead(here, AHEAD), AHEAD, strict=True)
    ]
    gap = _turned(routes.goal - here, state.heading)
    length = gap.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    to_go = routes.distance(here).unsqueeze(-1)
    rays = torch.exp(-clearances(state) / DECAY)
    near = gap / length * torch.tanh(length / NEAR)
    return torch.cat((*ahead, near, to_go / (to_go + 1.0), rays), -1)


def clearances(state: NavigationState) -> Tensor:
    """The clearances along the rays, (B, N, 24) [m], from the robots' rims, at most ``RANGE``."""
    rays = torch.arange(RAYS, dtype=state.heading.dtype, device=state.heading.device)
    angle = state.heading.unsqueeze(-1) + rays * (2 * math.pi / RAYS)
    direction = torch.stack((angle.cos(), angle.sin()), -1)
    reach = RANGE + float(state.radius.max())
    length = cast(state.maps, state.position, direction, reach)
    return (length - state.radius.unsqueeze(-1)).clamp(0.0, RANGE)


def _turned(vector: Tensor, heading: Tensor) -> Tensor:
    """Vectors (B, N, 2) from the world's axes to the robots' own."""
    cos, sin = heading.cos(), heading.sin()
    x, y = vector.unbind(-1)
    return torch.stack((cos * x + sin * y, cos * y - sin * x), -1)
