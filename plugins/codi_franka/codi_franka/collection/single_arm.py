"""Demonstrations of one arm: half of them pick and place, half yield."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codi_core.planning import NoiseSource
from codi_core.tasks import EpisodeKey
from codi_franka.collection.expert import DRAWS, Expert, Seen
from codi_franka.collection.frames import ARM
from codi_franka.collection.script import Script
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.robot.reach import OUTER_RADIUS
from codi_franka.state import FrankaState
from codi_franka.workspace import sample_graspable


class SingleArm(Script):
    """The expert of one arm.

    Args:
        episodes: those with even numbers pick, the others yield.
        noise: one stream an episode.
    """

    arms = (ARM,)
    draws = DRAWS

    def __init__(self, episodes: Sequence[EpisodeKey], noise: NoiseSource) -> None:
        self.noise = noise
        self.counts: dict[str, Tensor] = {}
        self.bases = BaseFrames.of(self.arms)
        self.expert = Expert(torch.tensor([key.episode % 2 == 1 for key in episodes]), noise)

    def act(self, state: FrankaState, hands: HandState, draw: Tensor, jumped: Tensor) -> Tensor:
        """The actions (n, 1, 7)."""
        return self.expert.act(Seen.of(state, hands, self.bases), draw).unsqueeze(1)

    def places(self, where: Tensor) -> Tensor:
        """Places (n, 2) that the arm reaches."""
        return sample_graspable(self.noise, max_radius=OUTER_RADIUS, where=where)
