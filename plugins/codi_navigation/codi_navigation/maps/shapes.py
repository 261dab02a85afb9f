"""Obstacles in the plane and distances to them, batched over worlds.

Every obstacle is a rounded rectangle: a box has no rounding, a circle is a rectangle of no size
that is rounded by its radius. So one formula serves both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs
import torch
from torch import Tensor

FAR = 1e3
"""[m] Where obstacles stand that only fill up a batch: farther than anything that is measured."""

SHAPE_FIELDS = (
    "x [m]",
    "y [m]",
    "half_length [m]",
    "half_width [m]",
    "angle [rad]",
    "radius [m]",
)
"""The numbers of one obstacle."""


@attrs.frozen
class Obstacle:
    """A box or a circle.

    Attributes:
        x: centre [m], world frame.
        y: centre [m].
        half_length: half of the side along the box's own x axis [m]; 0 for a circle.
        half_width: half of the other side [m]; 0 for a circle.
        angle: of the box's x axis [rad], anticlockwise from the world's.
        rounding: the circle's radius [m]; 0 for a box.
    """

    x: float
    y: float
    half_length: float = 0.0
    half_width: float = 0.0
    angle: float = 0.0
    rounding: float = 0.0

    @classmethod
    def box(cls, x: float, y: float, length: float, width: float, angle: float = 0.0) -> Obstacle:
        """A box with these sides [m]."""
        return cls(x, y, length / 2, width / 2, angle)

    @classmethod
    def circle(cls, x: float, y: float, radius: float) -> Obstacle:
        """A circle with this radius [m]."""
        return cls(x, y, rounding=radius)

    @property
    def is_circle(self) -> bool:
        """Whether it is a circle."""
        return self.rounding > 0


def walls(extent: tuple[float, float, float, float], thickness: float = 0.1) -> list[Obstacle]:
    """Four boxes that close the rectangle ``extent`` = (x_min, y_min, x_max, y_max) [m]."""
    x_min, y_min, x_max, y_max = extent
    x, y = (x_min + x_max) / 2, (y_min + y_max) / 2
    length, width = x_max - x_min + 2 * thickness, y_max - y_min + 2 * thickness
    return [
        Obstacle.box(x, y_min - thickness / 2, length, thickness),
        Obstacle.box(x, y_max + thickness / 2, length, thickness),
        Obstacle.box(x_min - thickness / 2, y, thickness, width),
        Obstacle.box(x_max + thickness / 2, y, thickness, width),
    ]


def _shapes(shapes: Iterable[Obstacle]) -> tuple[Obstacle, ...]:
    return tuple(shapes)


@attrs.frozen
class Map:
    """One world's obstacles.

    Attributes:
        extent: (x_min, y_min, x_max, y_max) [m]: the region that paths may use and pictures show.
        obstacles: what stands in it.
        passages: rectangles that admit one direction of travel at a time; the direction is the
            rectangle's own x axis. They are floor, not obstacles.
        roundabouts: circles that traffic drives around anticlockwise. They are floor, too.
    """

    extent: tuple[float, float, float, float]
    obstacles: tuple[Obstacle, ...] = attrs.field(default=(), converter=_shapes)
    passages: tuple[Obstacle, ...] = attrs.field(default=(), converter=_shapes)
    roundabouts: tuple[Obstacle, ...] = attrs.field(default=(), converter=_shapes)


@attrs.frozen(eq=False)
class Maps:
    """The obstacles of B worlds as tensors.

    Attributes:
        obstacles: (B, O, 6), rows as :data:`SHAPE_FIELDS`; what fills up a batch stands far away.
        passages: (B, P, 6), likewise.
        roundabouts: (B, R, 6), likewise.
    """

    obstacles: Tensor
    passages: Tensor
    roundabouts: Tensor

    @classmethod
    def of(cls, maps: Sequence[Map]) -> Maps:
        """Stack maps, filled up to the largest number of obstacles."""
        kinds = ("obstacles", "passages", "roundabouts")
        return cls(*(_stacked([getattr(one, kind) for one in maps]) for kind in kinds))

    @property
    def worlds(self) -> int:
        """The number of worlds B."""
        return self.obstacles.shape[0]

    def of_worlds(self, rows: Tensor) -> Maps:
        """The maps of some worlds, chosen by their numbers (b,)."""
        return Maps(self.obstacles[rows], self.passages[rows], self.roundabouts[rows])

    def replaced(self, rows: Tensor, other: Maps) -> Maps:
        """The same with the maps of ``other`` in the worlds with the numbers ``rows``, (b,)."""

        def put(mine: Tensor, others: Tensor) -> Tensor:
            most = max(mine.shape[1], others.shape[1])
            return _filled_up(mine, most).index_copy(0, rows, _filled_up(others, most))

        return Maps(
            put(self.obstacles, other.obstacles),
            put(self.passages, other.passages),
            put(self.roundabouts, other.roundabouts),
        )

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Maps:
        """The same on a device, with floating-point numbers of a type."""
        return Maps(
            self.obstacles.to(device, dtype),
            self.passages.to(device, dtype),
            self.roundabouts.to(device, dtype),
        )

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance from points (B, ..., 2) to the nearest obstacle, (B, ...) [m].

        It is negative inside, and ``FAR`` where there is no obstacle.
        """
        if not self.obstacles.shape[1]:
            return torch.full_like(points[..., 0], FAR)
        return self.distances(points).amin(-1)

    def distances(self, points: Tensor) -> Tensor:
        """Signed distances from points (B, ..., 2) to each obstacle, (B, ..., O) [m]."""
        shape = (self.worlds, *[1] * (points.ndim - 2), -1, 6)
        return signed_distance(points.unsqueeze(-2), self.obstacles.view(shape))


def signed_distance(points: Tensor, shapes: Tensor) -> Tensor:
    """Signed distances from points (..., 2) to obstacles (..., 6), broadcast, (...) [m]."""
    along, across = in_frame(points, shapes)
    beyond_x = along.abs() - shapes[..., 2]
    beyond_y = across.abs() - shapes[..., 3]
    outside = torch.hypot(beyond_x.clamp_min(0.0), beyond_y.clamp_min(0.0))
    inside = torch.maximum(beyond_x, beyond_y).clamp_max(0.0)
    return outside + inside - shapes[..., 5]


def in_frame(points: Tensor, shapes: Tensor) -> tuple[Tensor, Tensor]:
    """Points (..., 2) in the obstacles' own frames: along their x and y axes, (...) each [m]."""
    x, y = points[..., 0] - shapes[..., 0], points[..., 1] - shapes[..., 1]
    cos, sin = shapes[..., 4].cos(), shapes[..., 4].sin()
    return cos * x + sin * y, cos * y - sin * x


_FILLER = attrs.astuple(Obstacle(FAR, FAR))


def _stacked(groups: Sequence[Sequence[Obstacle]]) -> Tensor:
    most = max((len(group) for group in groups), default=0)
    rows = [
        [attrs.astuple(shape) for shape in group] + [_FILLER] * (most - len(group))
        for group in groups
    ]
    return torch.tensor(rows, dtype=torch.float32).reshape(len(groups), most, 6)


def _filled_up(shapes: Tensor, most: int) -> Tensor:
    """(B, O, 6) with ``most`` obstacles."""
    missing = shapes.new_tensor(_FILLER).expand(len(shapes), most - shapes.shape[1], 6)
    return torch.cat((shapes, missing), 1)
