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
        """One term for each robot, if the map has a roundabout."""
        state = trajectory.state
        if not state.maps.roundabouts.shape[1]:
            return CostTerms.nothing(trajectory.path[0, 0])
        shares = [self._share(trajectory, island) for island in state.maps.roundabouts.unbind(1)]
        return CostTerms.of_agents(torch.stack(shares).sum(0) if len(shares) > 1 else shares[0])

    def _share(self, trajectory: NavigationTrajectory, island: Tensor) -> Tensor:
        """The time on an island (B, 6) and in the wrong direction around it, (B, N, M)."""
        state, centre = trajectory.state, island[:, :2].unsqueeze(1)
        now = state.position - centre
        crosses = _crosses(now, state.routes.goal - centre, island[:, 5])
        x = trajectory.path[:, 0] - island[:, 0, None, None]  # (K, B, N, M)
        y = trajectory.path[:, 1] - island[:, 1, None, None]
        # From ``middle`` at the centre to 1 at the rim, and 0 outside.
        slope = (self.middle - 1) / island[:, 5, None, None].clamp_min(1e-6)
        far = torch.hypot(x, y)
        inside = torch.where(far < island[:, 5, None, None], self.middle - far * slope, 0.0)
        wrong = _turns_clockwise(now, x, y).to(inside.dtype)
        return torch.addcmul(inside.mean(0), wrong.mean(0), crosses.unsqueeze(-1).to(wrong.dtype))


def _crosses(start: Tensor, end: Tensor, radius: Tensor) -> Tensor:
    """Whether segments (B, N, 2) come nearer than (B,) to the origin, (B, N)."""
    way = end - start
    squared = way.square().sum(-1, keepdim=True).clamp_min(1e-12)
    share = (-(start * way).sum(-1, keepdim=True) / squared).clamp(0.0, 1.0)
    return (start + share * way).norm(dim=-1) < radius.unsqueeze(-1)


def _turns_clockwise(now: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """In which steps paths (K, B, N, M) from (B, N, 2) turn clockwise around the origin."""
    start = now.unsqueeze(2).expand(-1, -1, x.shape[-1], -1)
    before_x = torch.cat((start[None, ..., 0], x[:-1]))
    before_y = torch.cat((start[None, ..., 1], y[:-1]))
    return before_x * y < before_y * x
