"""Distance from obstacles."""

from __future__ import annotations

import attrs
import torch

from codi_core.costs import CostTerms, LocalCost
from codi_navigation.maps.shapes import signed_distance
from codi_navigation.prediction.trajectory import NavigationTrajectory


@attrs.frozen
class ObstacleCost(LocalCost):
    """How much nearer than a margin a robot's rim comes to an obstacle, at worst [m]."""

    margin: float = 0.03
    """[m]"""

    def terms(self, trajectory: NavigationTrajectory) -> CostTerms:
        """One term for each robot, if there are obstacles near any."""
        shapes = trajectory.obstacles
        if not shapes.shape[2]:
            return CostTerms.nothing(trajectory.path[0, 0])
        points = trajectory.points
        # One obstacle after another: they are few, and the samples are many.
        gaps = [signed_distance(points, shape.unsqueeze(2)).amin(0) for shape in shapes.unbind(2)]
        gap = torch.stack(gaps).amin(0)
        wanted = (trajectory.state.radius + self.margin).unsqueeze(-1)
        return CostTerms.of_agents((wanted - gap).clamp_min(0.0))
