"""The way around an island that is painted on the floor."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from codi_core.costs import CostTerms, LocalCost
from codi_navigation.costs.roundabout import Island, islands_of
from codi_navigation.prediction.trajectory import NavigationTrajectory


@attrs.frozen
class DetourCost(LocalCost):
    """How much longer the way around a roundabout is than the straight one, over the chunk [m].

    It counts for who has to cross an island, from where the robot is now, and so completes the
    progress along shortest paths, which lead across: half-way around a circle, its beginning
    brings a robot hardly nearer. Who drives any way that it faces does without it; a unicycle has
    to turn first, and is not paid for that within a chunk.
    """

    every: int = 4
    """The average is over every fourth control step and the last one."""

    def terms(self, trajectory: NavigationTrajectory) -> CostTerms:
        """One term for each robot, if the map has a roundabout."""
        state = trajectory.state
        if not state.maps.roundabouts.shape[1]:
            return CostTerms.nothing(trajectory.path[0, 0])
        path = trajectory.path[self.every - 1 :: self.every, :2]
        goal = state.routes.goal.movedim(-1, 0).unsqueeze(-1)
        islands = islands_of(trajectory)
        now = trajectory.once(
            "detours", lambda: [detour(isle.start, goal - isle.centre, isle) for isle in islands]
        )
        total = torch.zeros_like(trajectory.path[0, 0])
        for island, before in zip(islands, now, strict=True):
            later = detour(path - island.centre, goal - island.centre, island)
            total = total + (later - before).mean(0) * island.crosses
        return CostTerms.of_agents(total)


def detour(place: Tensor, goal: Tensor, island: Island) -> Tensor:
    """How much longer the anticlockwise way around an island is than the straight one (k, B, N, M).

    It is along a tangent, an arc of the rim and another tangent; zero where the straight way
    misses the island.

    Args:
        place: (k, 2, B, N, M), seen from the island's centre [m].
        goal: (2, B, N, 1), likewise.
        island: its radius counts.
    """
    (x, y), (goal_x, goal_y) = place.unbind(1), goal.unbind()
    radius = island.radius
    # Between a quarter of a turn past the goal and a quarter more than half a turn before it.
    turn = torch.atan2(x * goal_y - y * goal_x, x * goal_x + y * goal_y)
    turn = torch.where(turn < -math.pi / 2, turn + 2 * math.pi, turn)
    ways = [_tangent(torch.hypot(*end), radius) for end in ((x, y), (goal_x, goal_y))]
    arc = turn - ways[0][1] - ways[1][1]
    around = ways[0][0] + ways[1][0] + radius * arc
    straight = torch.hypot(goal_x - x, goal_y - y)
    return torch.where(arc > 0, around - straight, 0.0).clamp_min(0.0)


def _tangent(far: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """The tangent's length from a point this far from the centre, and the angle to its end."""
    outside = torch.maximum(far, radius)
    return (outside.square() - radius.square()).sqrt(), (radius / outside).acos()
