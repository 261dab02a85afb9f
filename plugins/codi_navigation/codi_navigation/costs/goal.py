"""Progress towards the goals."""

from __future__ import annotations

import attrs

from codi_core.costs import CostTerms, LocalCost
from codi_navigation.prediction.trajectory import NavigationTrajectory


@attrs.frozen
class GoalCost(LocalCost):
    """How far each robot still has to go along its shortest path, on average over the chunk [m].

    It is counted from where the robot is now, so that progress is negative.
    """

    every: int = 4
    """The average is over every fourth control step and the last one."""

    def terms(self, trajectory: NavigationTrajectory) -> CostTerms:
        """One term for each robot."""
        points = trajectory.points[self.every - 1 :: self.every].movedim(0, -2)
        state = trajectory.state
        now = trajectory.once("to_go", lambda: state.routes.distance(state.position).unsqueeze(-1))
        return CostTerms.of_agents(state.routes.distance(points).mean(-1) - now)
