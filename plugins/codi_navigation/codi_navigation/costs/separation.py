"""Pairwise separation."""

from __future__ import annotations

import attrs

from codi_core.costs import CostTerms, LocalCost
from codi_navigation.prediction.trajectory import NavigationTrajectory


@attrs.frozen
class SeparationCost(LocalCost):
    """How much nearer than a margin the rims of two robots come, at worst; one term a pair [m]."""

    margin: float = 0.08
    """[m] Between rims. Robots that pass at full speed are seen every 20 cm of their approach."""

    def terms(self, trajectory: NavigationTrajectory) -> CostTerms:
        """One term for each pair of neighbours."""
        pairs = trajectory.pairs
        wanted = pairs.reach.unsqueeze(-1) + self.margin
        lacking = (wanted - trajectory.nearest).clamp_min(0.0)
        return CostTerms(lacking, pairs.world, pairs.members, trajectory.state.worlds)
