"""Traffic keeps right."""

from __future__ import annotations

import attrs

from codi_core.costs import CostTerms, LocalCost
from codi_navigation.prediction.trajectory import NavigationTrajectory


@attrs.frozen
class KeepRightCost(LocalCost):
    """1 for each pair that passes on the wrong side; a rule, and not differentiable.

    Two robots that meet each keep to their own right if the line from one to the other turns
    anticlockwise while they pass. Pairs that do not come near, or whose line hardly turns until
    they are nearest, do not count.
    """

    near: float = 0.4
    """[m] Between rims: who comes no nearer does not meet."""
    turn: float = 0.25
    """The sine of the clockwise turn that counts as passing on the wrong side."""

    def terms(self, trajectory: NavigationTrajectory) -> CostTerms:
        """One term for each pair of neighbours."""
        pairs, then = trajectory.pairs, trajectory.approach
        place = trajectory.state.position.flatten(0, 1)
        now = place[pairs.rows[:, 1]] - place[pairs.rows[:, 0]]
        x, y, length = now[:, :1], now[:, 1:], now.norm(dim=-1, keepdim=True)
        meets = then.distance < pairs.reach.unsqueeze(-1) + self.near
        turned = x * then.y - y * then.x < -self.turn * length * then.distance
        wrong = meets & turned
        return CostTerms(wrong.to(x.dtype), pairs.world, pairs.members, trajectory.state.worlds)
