"""A passage that admits one direction of travel at a time."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.costs import CostTerms, LocalCost
from codi_core.resources import can_branch_on
from codi_navigation.maps.shapes import in_frame, signed_distance
from codi_navigation.prediction.trajectory import NavigationTrajectory
from codi_navigation.state import NavigationState


@attrs.frozen
class JunctionCost(LocalCost):
    """The share of the chunk in which a robot is in or at a passage out of turn.

    A rule for priority, and not differentiable. A robot wants through a passage while its goal lies
    behind it. The direction of the robot that is deepest in, or nearest to, the passage has the
    right of way (of two equally near ones, the robot with the lower number); all that want through
    in the other direction keep out of the passage and of the space at its mouths.
    """

    apron: float = 0.6
    """[m] How far the space at the mouths reaches, from the passage to a robot's centre."""

    def terms(self, trajectory: NavigationTrajectory) -> CostTerms:
        """One term for each robot, if the map has a passage."""
        state = trajectory.state
        if not state.maps.passages.shape[1]:
            return CostTerms.nothing(trajectory.path[0, 0])
        cost = torch.zeros_like(trajectory.path[0, 0])
        for passage in state.maps.passages.unbind(1):
            waits = must_wait(state, passage)
            if can_branch_on(waits) and not bool(waits.any()):
                continue
            gap = signed_distance(trajectory.points, passage[:, None, None])
            share = (gap < self.apron).to(cost.dtype).mean(0)
            cost = cost + share * waits.unsqueeze(-1)
        return CostTerms.of_agents(cost)


def must_wait(state: NavigationState, passage: Tensor) -> Tensor:
    """Which robots want through a passage (B, 6) but do not have the right of way: (B, N)."""
    direction = direction_through(state, passage)
    gap = signed_distance(state.position, passage.unsqueeze(1))
    first = gap.masked_fill(direction == 0, torch.inf).argmin(-1, keepdim=True)
    return (direction != 0) & (direction != direction.gather(-1, first))


def direction_through(state: NavigationState, passage: Tensor) -> Tensor:
    """Which way robots want through a passage (B, 6): 1 or -1 along its x axis, or 0, (B, N)."""
    shape = passage.unsqueeze(1)
    along, _ = in_frame(state.position, shape)
    ends, _ = in_frame(state.routes.goal, shape)
    half = shape[..., 2]
    direction = torch.where(ends > half, 1.0, torch.where(ends < -half, -1.0, 0.0))
    # Through it is whose whole body is behind the passage's far end.
    return torch.where(direction * along < half + state.radius, direction, 0.0)
