"""Corners to a fraction of a pixel: where lines along a marker's four edges meet.

At a metre and more a marker is 20 to 30 pixels wide, its squares four. OpenCV's own refinements
look at a corner's surroundings, and find the corners of the pattern instead, or follow jagged
contours; edges are longer than corners are wide. ``tests/hardware/vision/test_edges.py``
compares them.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.markers import MODULES

Array = NDArray[np.float64]
Image = NDArray[Any]

_ALONG = np.linspace(0.1, 0.9, 20)
"""Where edges are looked at; their ends belong to the corners."""
_ACROSS = np.linspace(-1.0, 1.0, 25)
"""Where brightness is read across an edge, outwards, in units of the reach."""
_REACH = (1.5, 6.0)
"""[pixels] The smallest and the largest reach; in between it is most of a pattern's square."""
_ROUNDS = 2
_STRAY = 0.6
"""[pixels] Points that far from an edge's line are left out of it."""


def sharpen(grey: Image, squares: Array) -> Array:
    """Move corners to where the edges' lines meet.

    Args:
        grey: the picture (height, width).
        squares: (n, 4, 2) [pixels], clockwise from the upper left.

    Returns:
        (n, 4, 2). A square whose edges lead somewhere else keeps its corners.
    """
    if not len(squares):
        return squares
    found = squares
    for _ in range(_ROUNDS):
        found = _meeting(*_lines(grey, found))
        side = np.linalg.norm(squares - np.roll(squares, 1, 1), axis=-1).mean(-1)
        away = np.linalg.norm(found - squares, axis=-1).max(-1)
        strayed = ~(away < np.maximum(0.15 * side, 1.5))  # NaN strays, too
        found = np.where(strayed[:, None, None], squares, found)
    return found


def _lines(grey: Image, squares: Array) -> tuple[Array, Array]:
    """The edges' lines: a point (n, 4, 2) and a normal (n, 4, 2); edge i begins at corner i."""
    along = np.roll(squares, -1, 1) - squares
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    tangent = along / length
    outwards = np.stack((tangent[..., 1], -tangent[..., 0]), -1)
    # An edge's distance from the opposite one says how wide the pattern's squares are across it.
    depth = np.abs((outwards * np.roll(along, -1, 1)).sum(-1))
    reach = np.clip(0.65 * depth / MODULES, *_REACH)[..., None]
    base = squares[:, :, None] + _ALONG[:, None] * along[:, :, None]  # (n, 4, K, 2)
    offset, weight = _steps(grey, base, outwards, reach)
    position = _ALONG * length
    shift, slope = _straight(position, offset, weight)
    stray = np.abs(offset - shift - slope * position) > _STRAY
    shift, slope = _straight(position, offset, np.where(stray, 1e-3 * weight, weight))
    normal = outwards - slope * tangent
    return squares + shift * outwards, normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def _steps(grey: Image, base: Array, outwards: Array, reach: Array) -> tuple[Array, Array]:
    """Where brightness rises outwards, (n, 4, K) [pixels] from ``base``, and how clearly."""
    across = reach * _ACROSS  # (n, 4, S)
    points = base[..., None, :] + across[:, :, None, :, None] * outwards[:, :, None, None, :]
    columns = points.reshape(len(base) * 4, -1, 2).astype(np.float32)
    values = cv2.remap(
        grey, columns[..., 0], columns[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    values = values.reshape(points.shape[:-1]).astype(float)
    rise = np.maximum(np.diff(values, axis=-1), 0.0)
    middle = (across[..., 1:] + across[..., :-1]) / 2
    middle = np.broadcast_to(middle[:, :, None], rise.shape)
    # Squares of the rise: noise far from the edge must not pull.
    power = rise**2
    total = power.sum(-1) + 1e-9
    return (power * middle).sum(-1) / total, total


def _straight(position: Array, offset: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted lines through (n, 4, K) points: offset at 0 and slope, (n, 4, 1) each."""
    total = weight.sum(-1, keepdims=True)
    mean = (weight * position).sum(-1, keepdims=True) / total
    level = (weight * offset).sum(-1, keepdims=True) / total
    spread = (weight * (position - mean) ** 2).sum(-1, keepdims=True)
    slope = (weight * (position - mean) * (offset - level)).sum(-1, keepdims=True) / spread
    return level - slope * mean, slope


def _meeting(points: Array, normals: Array) -> Array:
    """Where each edge meets the one before it: the corners (n, 4, 2); NaN for parallel ones."""
    first, second = np.roll(normals, 1, 1), normals
    here = (first * np.roll(points, 1, 1)).sum(-1), (second * points).sum(-1)
    area = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    area = np.where(np.abs(area) < 1e-6, np.nan, area)
    x = (here[0] * second[..., 1] - here[1] * first[..., 1]) / area
    y = (first[..., 0] * here[1] - second[..., 0] * here[0]) / area
    return np.stack((x, y), -1)
