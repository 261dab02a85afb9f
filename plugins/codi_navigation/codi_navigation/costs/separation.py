"""Pairwise separation."""

from __future__ import annotations

import attrs
from torch import Tensor

from codi_core.costs import CostTerms, LocalCost
from codi_navigation.prediction.trajectory import NavigationTrajectory


@attrs.frozen
class SeparationCost(LocalCost):
    """How much nearer than a margin the rims of two robots come, at worst; one term a pair [m]."""

    margin: float = 0.08
    """[m] Between rims. Robots that pass at full speed are seen every 20 cm of their approach."""

    def terms(self, trajectory: NavigationTrajectory) -> CostTerms:
        """One term for each pair of neighbours."""
        return lacking_room(trajectory, trajectory.nearest, self.margin)


def lacking_room(trajectory: NavigationTrajectory, nearest: Tensor, margin: float) -> CostTerms:
    """How much each pair lacks of a margin between its rims [m], one term a pair.

    Args:
        trajectory: has the pairs of neighbours.
        nearest: how near each of them comes, between centres, (P, M) [m].
        margin: [m]
    """
    pairs = trajectory.pairs
    wanted = pairs.reach.unsqueeze(-1) + margin
    lacking = (wanted - nearest).clamp_min(0.0)
    return CostTerms(lacking, pairs.world, pairs.members, trajectory.state.worlds)
