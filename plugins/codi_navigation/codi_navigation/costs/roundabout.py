"""Traffic around an island that is painted on the floor."""

from __future__ import annotations

from typing import NamedTuple

import attrs
import torch
from torch import Tensor

from codi_core.costs import CostTerms, LocalCost
from codi_navigation.prediction.trajectory import NavigationTrajectory
from codi_navigation.state import NavigationState


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
        shares = [self._share(trajectory, island) for island in islands_of(trajectory)]
        return CostTerms.of_agents(torch.stack(shares).sum(0) if len(shares) > 1 else shares[0])

    def _share(self, trajectory: NavigationTrajectory, island: Island) -> Tensor:
        """The time on an island and in the wrong direction around it, (B, N, M)."""
        path = trajectory.path[:, :2] - island.centre
        x, y = path.unbind(1)
        # From ``middle`` at the centre to 1 at the rim, and 0 outside.
        far = torch.hypot(x, y) / island.radius
        inside = torch.where(far < 1, self.middle - (self.middle - 1) * far, 0.0)
        before_x, before_y = torch.cat((island.start.expand_as(path[:1]), path[:-1])).unbind(1)
        clockwise = (before_x * y < before_y * x).to(inside.dtype)
        return torch.addcmul(inside.mean(0), clockwise.mean(0), island.crosses)


class Island(NamedTuple):
    """What of an island stays the same for a plan.

    Attributes:
        centre: (2, B, 1, 1) [m].
        radius: (B, 1, 1) [m].
        start: where the robots are now, seen from the centre, (1, 2, B, N, 1) [m].
        crosses: 1 for a robot whose straight way to its goal leads across it, (B, N, 1).
    """

    centre: Tensor
    radius: Tensor
    start: Tensor
    crosses: Tensor


def islands_of(trajectory: NavigationTrajectory) -> list[Island]:
    """The roundabouts' islands, if the map has any."""
    return trajectory.once("roundabouts", lambda: _islands(trajectory.state))


def _islands(state: NavigationState) -> list[Island]:
    made = []
    for shape in state.maps.roundabouts.unbind(1):
        centre, radius = shape[:, None, :2], shape[:, 5]
        now = state.position - centre
        crosses = _crosses(now, state.routes.goal - centre, radius)
        made.append(
            Island(
                centre.movedim(-1, 0).unsqueeze(-1),
                radius.clamp_min(1e-6)[:, None, None],
                now.movedim(-1, 0)[None, ..., None],
                crosses.to(now.dtype).unsqueeze(-1),
            )
        )
    return made


def _crosses(start: Tensor, end: Tensor, radius: Tensor) -> Tensor:
    """Whether segments (B, N, 2) come nearer than (B,) to the origin, (B, N)."""
    way = end - start
    squared = way.square().sum(-1, keepdim=True).clamp_min(1e-12)
    share = (-(start * way).sum(-1, keepdim=True) / squared).clamp(0.0, 1.0)
    return (start + share * way).norm(dim=-1) < radius.unsqueeze(-1)
