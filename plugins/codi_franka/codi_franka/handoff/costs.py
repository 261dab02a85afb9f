"""The cost of Eq. 20 and Appendix C, term by term, with the numbers of Table I.

As printed, Eq. 42-44 take ``min{·, 0}``. They are hinges and must take ``max{·, 0}``: otherwise
the goal term would act within 1 cm only and the collision term would reward closeness.
"""

from __future__ import annotations

from itertools import combinations

import attrs
import torch
from torch import Tensor

from codi_core.costs import CostFunction, CostTerms, LocalCost
from codi_core.tasks.task import GOAL_ALONE, INDEPENDENT
from codi_franka.prediction.trajectory import HandoffTrajectory
from codi_franka.robot.cell import ARMS
from codi_franka.robot.clearance import arm_clearance, arm_points, hands_apart
from codi_franka.robot.frames import BaseFrames


@attrs.frozen
class GoalCost(LocalCost):
    """J_goal, Eq. 42: how far the cube stays from the goal at best, beyond a threshold.

    One term, which involves all arms: each may move the cube.
    """

    threshold: float = 0.01
    """Δ_goal [m]"""

    def terms(self, trajectory: HandoffTrajectory) -> CostTerms:
        """(B, M) [m]."""
        nearest = _squares(trajectory.cube_position - trajectory.goal).amin(-1)
        values = (_root(nearest) - self.threshold).clamp_min(0.0)
        worlds, device = len(values), values.device
        everybody = torch.arange(len(ARMS), device=device).expand(worlds, -1)
        return CostTerms(values, torch.arange(worlds, device=device), everybody, worlds)


def _check_kind(_: object, __: object, value: str) -> None:
    if value not in ("hinge", "indicator"):
        raise ValueError(f"kind must be 'hinge' (Eq. 43) or 'indicator' (Sec. VI), not '{value}'")


@attrs.frozen
class CollisionCost(CostFunction):
    """J_collision, Eq. 43: how much two hands come closer than a safe distance, at worst."""

    radius: float = 0.3
    """Δ_collision [m]"""
    kind: str = attrs.field(default="hinge", validator=_check_kind)
    """Either ``hinge`` as in Eq. 43 [m], or ``indicator`` as in Sec. VI (1 where violated)."""

    def __call__(self, trajectory: HandoffTrajectory) -> Tensor:
        """(B, M), in metres for the hinge."""
        hands = trajectory.hand_position
        pairs = combinations(hands.unbind(-2), 2)
        nearest = torch.stack([_squares(one - other).amin(-1) for one, other in pairs]).amin(0)
        violation = (self.radius - _root(nearest)).clamp_min(0.0)
        return (violation > 0).to(violation.dtype) if self.kind == "indicator" else violation


@attrs.frozen
class EngagementCost(CostFunction):
    """J_engage, Eq. 44: how far the closer hand stays from the cube at best, beyond a threshold.

    The closer hand is the one that is closer after the first action.
    """

    threshold: float = 0.2
    """Δ_engage [m]"""

    def __call__(self, trajectory: HandoffTrajectory) -> Tensor:
        """(B, M) [m]."""
        gaps = _squares(trajectory.hand_position - trajectory.cube_position.unsqueeze(-2))
        closer = gaps[..., 0, :].argmin(-1)
        nearest = gaps.amin(-2).gather(-1, closer.unsqueeze(-1)).squeeze(-1)
        return (_root(nearest) - self.threshold).clamp_min(0.0)


@attrs.frozen
class EngageAllCost(LocalCost):
    """The engagement cost of the ablation CoDi-Indep: every hand engages (Sec. VII-C).

    One term an arm.
    """

    threshold: float = 0.2
    """Δ_engage [m]"""

    def terms(self, trajectory: HandoffTrajectory) -> CostTerms:
        """(B·N, M) [m]."""
        gaps = _squares(trajectory.hand_position - trajectory.cube_position.unsqueeze(-2))
        values = (_root(gaps.amin(-2)) - self.threshold).clamp_min(0.0)
        return CostTerms.of_agents(values.movedim(-1, 1))


@attrs.frozen
class ClearanceCost(CostFunction):
    """How much the bodies of two arms come nearer than a margin, at worst; not in the paper.

    Eq. 43 keeps two points 30 cm apart. With one hand above the other, or with arms crossed, that
    lets wrists and forearms touch. It is looked at for some instants of the chunk only, more of
    them early, because the early actions are executed.
    """

    margin: float = 0.05
    """[m]"""
    instants: tuple[int, ...] = (0, 2, 4, 6, 9, 13)
    """The control steps that are looked at; those beyond the chunk are left out."""

    def __call__(self, trajectory: HandoffTrajectory) -> Tensor:
        """(B, M) [m]."""
        steps = trajectory.hand_position.shape[2]
        chosen = [step for step in self.instants if step < steps]
        hands = trajectory.hand_position[:, :, chosen]
        if hands_apart(hands):
            return torch.zeros_like(hands[:, :, 0, 0, 0])
        bases = BaseFrames.of(ARMS, hands.device, hands.dtype)
        points = bases.arms_to_world(arm_points(bases.points_to_base(hands)))
        return (self.margin - arm_clearance(points).amin(-1)).clamp_min(0.0)


def _squares(vectors: Tensor) -> Tensor:
    """Squared lengths of vectors (..., 3): what is nearest is nearest in the square, too."""
    return vectors.square().sum(-1)


def _root(squares: Tensor) -> Tensor:
    """Lengths of squared ones, without an infinite slope at zero."""
    return squares.clamp_min(1e-24).sqrt()


TABLE_I = {"handoff-goal": 1.0, "handoff-collision": 10.0, "handoff-engagement": 10.0}
"""The weights of Table I, by registered name: the task's default cost."""

VARIANTS = {
    GOAL_ALONE: {"handoff-goal": 1.0},
    INDEPENDENT: {"handoff-goal": 1.0, "handoff-engage-all": 10.0},
}
"""What the ablations make of it: the goal alone (Sec. VII-E), and without what arms owe to one
another (Sec. VII-C)."""
