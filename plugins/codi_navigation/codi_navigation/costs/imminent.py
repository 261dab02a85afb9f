"""Pairwise separation in the near future."""

from __future__ import annotations

import attrs

from codi_core.costs import CostTerms, LocalCost
from codi_navigation.costs.separation import lacking_room
from codi_navigation.prediction.trajectory import SOON, NavigationTrajectory


@attrs.frozen
class ImminentCost(LocalCost):
    """As :class:`SeparationCost`, for the next moments only; one term a pair [m].

    In a crowd robots are predicted to come too near somewhere in the chunk nearly always. That must
    not hide a gap that closes now, when little time is left to do something about it.
    """

    margin: float = 0.08
    """[m] Between rims."""
    steps: int = SOON
    """How many control steps count."""

    def terms(self, trajectory: NavigationTrajectory) -> CostTerms:
        """One term for each pair of neighbours."""
        return lacking_room(trajectory, trajectory.nearest_within(self.steps), self.margin)
