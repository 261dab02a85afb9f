"""Traffic around an island that is painted on the floor."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.costs import CostTerms, LocalCost
from codi_navigation.prediction.trajectory import NavigationTrajectory


@attrs.frozen
class RoundaboutCost(LocalCost):
    """The share of the chunk in which a robot breaks the rules of a roundabout.

    Nobody drives on the island, and whose way to the goal leads across it drives around it
    anticlockwise. A rule, and not differentiable. As soon as the straight way to its goal misses
    the island, a robot may drive as it likes. Time on the island counts once at its rim and up to
    ``middle`` times at its centre: who was pushed there finds the way out.
    """

    middle: float = 3.0

    def terms(self, trajectory: NavigationTrajectory) -> CostTerms:
        """One term for each robot."""
        state = trajectory.state
        cost = torch.zeros_like(trajectory.path[0, 0])
        for island in state.maps.roundabouts.unbind(1):
            centre, radius = island[:, :2], island[:, 5]
            now = state.position - centre.unsqueeze(1)
            x = trajectory.path[:, 0] - centre[:, 0, None, None]  # (K, B, N, M)
            y = trajectory.path[:, 1] - centre[:, 1, None, None]
            depth = 1 - torch.hypot(x, y) / radius.clamp_min(1e-6)[:, None, None]
            inside = torch.where(depth > 0, 1 + (self.middle - 1) * depth, 0.0)
            crosses = _crosses(now, state.routes.goal - centre.unsqueeze(1), radius)
            wrong = _turns_clockwise(now, x, y) & crosses.unsqueeze(-1)
            cost = cost + (inside + wrong).mean(0)
        return CostTerms.of_agents(cost)


def _crosses(start: Tensor, end: Tensor, radius: Tensor) -> Tensor:
    """Whether segments (B, N, 2) come nearer than (B,) to the origin, (B, N)."""
    way = end - start
    squared = way.square().sum(-1, keepdim=True).clamp_min(1e-12)
    share = (-(start * way).sum(-1, keepdim=True) / squared).clamp(0.0, 1.0)
    return (start + share * way).norm(dim=-1) < radius.unsqueeze(-1)


def _turns_clockwise(now: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """In which steps paths (K, B, N, M) from (B, N, 2) turn clockwise around the origin."""
    before_x = torch.cat((now[..., 0, None].expand_as(x[0]).unsqueeze(0), x[:-1]))
    before_y = torch.cat((now[..., 1, None].expand_as(y[0]).unsqueeze(0), y[:-1]))
    return before_x * y < before_y * x
