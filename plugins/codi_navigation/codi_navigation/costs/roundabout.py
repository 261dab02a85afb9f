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
        shares = [
            self._share(trajectory, number) for number in range(state.maps.roundabouts.shape[1])
        ]
        return CostTerms.of_agents(torch.stack(shares).sum(0) if len(shares) > 1 else shares[0])

    def _share(self, trajectory: NavigationTrajectory, number: int) -> Tensor:
        """The time on an island and in the wrong direction around it, (B, N, M)."""
        state = trajectory.state
        island = state.maps.roundabouts[:, number]
        centre, radius = island[:, :2], island[:, 5, None, None]
        now = state.position - centre.unsqueeze(1)
        crosses = trajectory.once(
            f"crosses roundabout {number}",
            lambda: _crosses(now, state.routes.goal - centre.unsqueeze(1), island[:, 5]).to(now),
        )
        path = trajectory.path[:, :2] - centre.mT[..., None, None]  # (K, 2, B, N, M)
        # From ``middle`` at the centre to 1 at the rim, and 0 outside.
        far, slope = torch.hypot(path[:, 0], path[:, 1]), (self.middle - 1) / radius.clamp_min(1e-6)
        inside = torch.where(far < radius, self.middle - far * slope, 0.0)
        wrong = _turns_clockwise(now, path).to(inside.dtype)
        return torch.addcmul(inside.mean(0), wrong.mean(0), crosses.unsqueeze(-1))


def _crosses(start: Tensor, end: Tensor, radius: Tensor) -> Tensor:
    """Whether segments (B, N, 2) come nearer than (B,) to the origin, (B, N)."""
    way = end - start
    squared = way.square().sum(-1, keepdim=True).clamp_min(1e-12)
    share = (-(start * way).sum(-1, keepdim=True) / squared).clamp(0.0, 1.0)
    return (start + share * way).norm(dim=-1) < radius.unsqueeze(-1)


def _turns_clockwise(now: Tensor, path: Tensor) -> Tensor:
    """In which steps paths (K, 2, B, N, M) from (B, N, 2) turn clockwise around the origin."""
    start = now.movedim(-1, 0)[None, ..., None].expand(1, *path.shape[1:])
    before = torch.cat((start, path[:-1]))
    return before[:, 0] * path[:, 1] < before[:, 1] * path[:, 0]
