"""What the predictor foresees and what costs are computed on."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import attrs
import torch
from torch import Tensor

from codi_navigation.prediction.neighbours import Pairs
from codi_navigation.state import NavigationState


class Approach(NamedTuple):
    """How P pairs of robots meet in M samples, at the instant when they are nearest, (P, M) each.

    Attributes:
        distance: between their centres [m].
        x: from the first to the second robot, world frame [m].
        y: likewise.
    """

    distance: Tensor
    x: Tensor
    y: Tensor


@attrs.frozen(eq=False)
class NavigationTrajectory:
    """M sampled futures of N robots in B worlds, world frame. Step k is after k + 1 actions.

    Attributes:
        path: (K, 3, B, N, M): x [m], y [m] and heading [rad]. Steps come first and samples last,
            which lets costs pick steps and robots quickly; :attr:`position` has the order of
            other tasks.
        state: the estimate from which was predicted: positions now, goals, radii, maps.
        pairs: the robots that can meet within the chunk.
        obstacles: (B, N, k, 6), those that each robot can meet, rows as
            :data:`codi_navigation.maps.shapes.SHAPE_FIELDS`.
    """

    path: Tensor
    state: NavigationState
    pairs: Pairs
    obstacles: Tensor

    @property
    def position(self) -> Tensor:
        """The robots' places (B, M, K, N, 2) [m]."""
        return self.path[:, :2].permute(2, 4, 0, 3, 1)

    @property
    def points(self) -> Tensor:
        """The same in the order (K, B, N, M, 2)."""
        return self.path[:, :2].movedim(1, -1)

    @cached_property
    def approach(self) -> Approach:
        """When and how each pair of neighbours is nearest."""
        first, second = self.pairs.rows.unbind(-1)
        rows = self.path[:, :2].flatten(2, 3)  # (K, 2, B·N, M)
        nearest: Tensor | None = None
        # Step by step, on arrays that fit into the cache: three times as fast as all at once.
        for places in rows:
            offset = places.index_select(1, second).sub_(places.index_select(1, first))
            squared = offset.square().sum(0)
            if nearest is None:
                nearest, offsets = squared, offset
            else:
                offsets = torch.where(squared < nearest, offset, offsets)
                nearest = torch.minimum(squared, nearest)
        assert nearest is not None
        return Approach(nearest.sqrt(), offsets[0], offsets[1])
