"""What the predictor foresees and what costs are computed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, reduce
from itertools import chain
from typing import Any, ClassVar, NamedTuple, TypeVar

import attrs
import torch
from torch import Tensor

from codi_core.resources import can_branch_on
from codi_navigation.prediction.neighbours import Pairs
from codi_navigation.state import NavigationState

Made = TypeVar("Made")

SOON = 6
"""So many control steps are the next moments."""
_CACHED = 2**17
"""How many numbers of a kind fit into the cache of a core."""
_AT_ONCE = 2**25
"""How many numbers of a kind are made at once elsewhere, where each operation takes time to begin:
128 MiB of them."""
_COINCIDENT = 1e-12
"""[m²] Below that, a distance has no slope: its square root's would be infinite."""


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
            :data:`codi_navigation.maps.shapes.SHAPE_FIELDS`; k is what the robot with most of them
            needs, and the others' are filled up with those that are farther away.
        known: what costs have computed from the state alone, see :meth:`once`.
    """

    # How many obstacles there are, and which pairs, is a matter of all worlds: no axes.
    AXES: ClassVar[Mapping[str, str]] = {
        "path": "K 3 B N M",
        "points": "K B N M 2",
        "position": "B M K N 2",
        "state": "B",
        "pairs": "",
        "obstacles": "",
        "known": "",
    }

    path: Tensor
    state: NavigationState
    pairs: Pairs
    obstacles: Tensor
    known: dict[str, Any] = attrs.field(factory=dict)

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """What follows from :attr:`state` alone: made once a plan, not at each step."""
        if name not in self.known:
            self.known[name] = make()
        made: Made = self.known[name]
        return made

    @property
    def position(self) -> Tensor:
        """The robots' places (B, M, K, N, 2) [m]."""
        return self.path[:, :2].permute(2, 4, 0, 3, 1)

    @property
    def points(self) -> Tensor:
        """The same in the order (K, B, N, M, 2)."""
        return self.path[:, :2].movedim(1, -1)

    @cached_property
    def nearest(self) -> Tensor:
        """How near each pair of neighbours comes, between centres, (P, M) [m]."""
        if len(self.path) <= SOON:
            return _root(self._soon)
        return _root(torch.minimum(self._soon, self._least_squares(SOON, len(self.path))))

    def nearest_within(self, steps: int) -> Tensor:
        """The same within the first control steps only."""
        if steps >= len(self.path):
            return self.nearest
        return _root(self._soon if steps == SOON else self._least_squares(0, steps))

    @cached_property
    def _soon(self) -> Tensor:
        return self._least_squares(0, SOON)

    def _least_squares(self, begin: int, end: int) -> Tensor:
        """How near pairs come from one control step to another, squared, (P, M) [m²]."""
        squares = [_squares(offset).amin(0) for offset in self._offsets(begin, end)]
        return reduce(torch.minimum, squares)

    @cached_property
    def approach(self) -> Approach:
        """When and how each pair of neighbours is nearest."""
        steps = chain.from_iterable(self._offsets(0, len(self.path)))
        offsets = next(steps)
        nearest = offsets.square().sum(0)
        for offset in steps:
            squared = offset.square().sum(0)
            offsets = torch.where(squared < nearest, offset, offsets)
            nearest = torch.minimum(squared, nearest)
        return Approach(_root(nearest), offsets[0], offsets[1])

    def _offsets(self, begin: int, end: int) -> Iterator[Tensor]:
        """From the first to the second robot of each pair, (k, 2, P, M) for some steps at once."""
        first, second = self.pairs.rows.unbind(-1)
        rows = self.path[begin:end, :2].flatten(2, 3)  # (k, 2, B·N, M)
        # As many steps as fit into the cache together: that is three times as fast as all at once.
        room = _CACHED if can_branch_on(rows) else _AT_ONCE
        steps = max(1, room // max(1, 2 * len(first) * rows.shape[-1]))
        for places in map(torch.Tensor.contiguous, rows.split(steps)):
            yield places.index_select(2, second).sub_(places.index_select(2, first))


def _squares(offset: Tensor) -> Tensor:
    """Squared lengths of (k, 2, P, M), (k, P, M)."""
    x, y = offset.unbind(1)
    return torch.addcmul(x * x, y, y)


def _root(squared: Tensor) -> Tensor:
    """The distances of squares, (P, M)."""
    return squared.clamp_min(_COINCIDENT).sqrt()
