"""A planner that plans nothing: both hands go sideways, which is enough to see them stop."""

from __future__ import annotations

import os
import time

import torch
from torch import Tensor

from codi_core.planning import ChunkLayout, Plan, PlanContext, Planner
from codi_franka.robot.parameters import MAX_WIDTH

HORIZON = 16
"""Actions of a plan."""
HANGS = 4.0
"""[s] For which a planner that hangs does."""


def sideways(velocity: float = 0.0, steps: int = HORIZON, width: float = MAX_WIDTH) -> Tensor:
    """Actions (1, K, 7) that move a hand along its base's y [m/s], with fingers that wide [m]."""
    actions = torch.zeros(1, steps, 7)
    actions[..., 1], actions[..., 6] = velocity, width
    return actions


class Sideways(Planner):
    """Both hands go sideways, the left one to its left and the right one to its right.

    Args:
        how: what becomes of it: it hangs, dies or raises; None for nothing.
        breaks_at: with which plan, from 1.
        speed: of the hands [m/s].
        turns: after so many plans the hands go back, with their fingers closed; 0 for never.
    """

    layout = ChunkLayout(((0,), (1,)), (slice(0, 112), slice(112, 224)), (7, 7), horizon=HORIZON)

    def __init__(
        self, how: str | None = None, breaks_at: int = 3, speed: float = 0.1, turns: int = 0
    ) -> None:
        self.how, self.breaks_at, self.plans = how, breaks_at, 0
        self.speed, self.turns = speed, turns

    def plan(self, context: PlanContext) -> Plan:
        """The same again, or the way back."""
        back = bool(self.turns) and self.plans // self.turns % 2 == 1
        self.plans += 1
        if self.plans >= self.breaks_at:
            self._break()
        velocity, width = (-self.speed, 0.0) if back else (self.speed, MAX_WIDTH)
        chunks = (sideways(velocity, width=width), sideways(-velocity, width=width))
        flat = torch.cat([each.flatten(1) for each in chunks], 1)
        return Plan(chunks, flat, context.diagnostics)

    def _break(self) -> None:
        if self.how == "hang":
            time.sleep(HANGS)
        if self.how == "die":
            os._exit(9)
        if self.how == "raise":
            raise ValueError("no idea")
