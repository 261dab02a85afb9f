"""The team seen from above, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codi_core.tasks import Trace
from codi_navigation.rendering import palette
from codi_navigation.rendering.shapes import corners, shown_shapes, view
from codi_navigation.vehicles.base import PERIOD

if TYPE_CHECKING:
    from PIL.Image import Image

Frame = NDArray[np.uint8]

_SMOOTH = 2
"""Pictures are drawn that many times larger and shrunk: Pillow's edges are jagged."""


class TopView:
    """Draws the steps of one episode.

    Args:
        trace: the episode's events.
        size: the longer side of the pictures [pixels].
    """

    def __init__(self, trace: Trace, size: int) -> None:
        self.trace = {name: np.asarray(value) for name, value in trace.items()}
        self.x_min, y_min, x_max, self.y_max = view(trace)
        width, height = x_max - self.x_min, self.y_max - y_min
        self.scale = _SMOOTH * size / max(width, height)
        self.size = (2 * round(width * self.scale / 2), 2 * round(height * self.scale / 2))
        self.colours = [palette.robot_colour(i) for i in range(self.trace["position"].shape[1])]
        self.background = self._background()

    def frames(self) -> Iterator[Frame]:
        """One picture a step, (height, width, 3), with the paths so far."""
        from PIL import ImageDraw

        trails = self.background.copy()
        brush = ImageDraw.Draw(trails)
        position = self.trace["position"]
        for step in range(len(position)):
            if step:
                self._trails(brush, position[step - 1], position[step])
            yield self._finished(trails.copy(), step)

    def picture(self, step: int) -> Frame:
        """The picture of one step, with the paths until then."""
        from PIL import ImageDraw

        picture = self.background.copy()
        brush = ImageDraw.Draw(picture)
        position = self.trace["position"]
        for before, after in zip(position[:step], position[1 : step + 1], strict=True):
            self._trails(brush, before, after)
        return self._finished(picture, step)

    def _background(self) -> Image:
        from PIL import Image, ImageDraw

        picture = Image.new("RGB", self.size, palette.FLOOR)
        brush = ImageDraw.Draw(picture)
        for name, colour in palette.MAP:
            for row in shown_shapes(self.trace[name][0]):
                if row[5] > 0:
                    brush.ellipse(self._box(row[0], row[1], row[5]), fill=colour)
                else:
                    brush.polygon([self._pixel(*corner) for corner in corners(row)], fill=colour)
        goals, radii = self.trace["goal"][0], self.trace["radius"][0]
        for goal, radius, colour in zip(goals, radii, self.colours, strict=True):
            ring = self._box(goal[0], goal[1], 0.6 * radius)
            brush.ellipse(ring, outline=colour, width=2 * _SMOOTH)
        return picture

    def _trails(self, brush: Any, before: NDArray[Any], after: NDArray[Any]) -> None:
        for start, end, colour in zip(before, after, self.colours, strict=True):
            pale = tuple((2 * part + 255) // 3 for part in colour)
            brush.line([self._pixel(*start), self._pixel(*end)], fill=pale, width=_SMOOTH)

    def _finished(self, picture: Image, step: int) -> Frame:
        from PIL import ImageDraw

        brush, trace = ImageDraw.Draw(picture), self.trace
        touched = trace["robot_contact"][step] | trace["obstacle_contact"][step]
        for index, colour in enumerate(self.colours):
            place, radius = trace["position"][step, index], trace["radius"][step, index]
            brush.ellipse(self._box(place[0], place[1], radius), fill=colour)
            if trace["unicycle"][step, index]:
                angle = trace["heading"][step, index]
                nose = place + radius * np.array([np.cos(angle), np.sin(angle)])
                line = [self._pixel(*place), self._pixel(*nose)]
                brush.line(line, fill=palette.FLOOR, width=2 * _SMOOTH)
            if touched[index]:
                box = self._box(place[0], place[1], 1.15 * radius)
                brush.ellipse(box, outline=palette.CONTACT, width=3 * _SMOOTH)
        small = picture.resize((self.size[0] // _SMOOTH, self.size[1] // _SMOOTH))
        ImageDraw.Draw(small).text((6, 4), f"{step * PERIOD:.1f} s", fill=palette.INK)
        return np.asarray(small, np.uint8)

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        return float(x - self.x_min) * self.scale, float(self.y_max - y) * self.scale

    def _box(self, x: float, y: float, radius: float) -> tuple[float, float, float, float]:
        across, down = self._pixel(x, y)
        size = float(radius) * self.scale
        return across - size, down - size, across + size, down + size
