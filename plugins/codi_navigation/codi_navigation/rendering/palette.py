"""The colours that all pictures share."""

from __future__ import annotations

import colorsys

FLOOR = (250, 249, 246)
OBSTACLE = (92, 98, 108)
PASSAGE = (253, 236, 200)
ISLAND = (226, 238, 220)
CONTACT = (214, 32, 32)
INK = (40, 44, 52)

MAP = (("passages", PASSAGE), ("roundabouts", ISLAND), ("obstacles", OBSTACLE))
"""What a map has, by the names of the events, in the order in which it is drawn."""

_GOLDEN = 0.618034


def robot_colour(index: int) -> tuple[int, int, int]:
    """The colour of a robot as RGB in [0, 255]: neighbours in number differ much in hue."""
    hue = (0.58 + index * _GOLDEN) % 1.0
    saturation, value = 0.62 + 0.2 * (index % 2), 0.82 - 0.1 * (index % 3)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def unit(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    """The same colour as RGB in [0, 1]."""
    return colour[0] / 255, colour[1] / 255, colour[2] / 255
