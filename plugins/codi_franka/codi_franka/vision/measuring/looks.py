"""What real cameras do to a picture: lens, blur, noise, uneven light, JPEG, a hand in front."""

from __future__ import annotations

from typing import Any

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.camera_model import Lens

Array = NDArray[np.float64]
Image = NDArray[Any]

WIDER = 0.9
"""Pictures are rendered with that share of the focal length, so that a bent one is full."""
_NOISE_BANK = (1500, 2200)
_SKIN = 0.57
"""Brightness of a hand."""


@attrs.frozen
class Look:
    """How hard pictures are to read.

    Attributes:
        noise: largest standard deviation of the pixels' noise, of 255.
        blur: largest standard deviation of what the lens smears [pixels].
        motion: longest way that the picture moves during exposure [pixels].
        light: by how much the brightness differs across the picture, at most, as a share.
        quality: of the JPEG that the camera sends, 1 to 100; 0 for none.
        covered: the share of pictures in which a person's hand covers a part of the box.
    """

    noise: float
    blur: float
    motion: float
    light: float
    quality: int
    covered: float


CLEAN = Look(noise=1.0, blur=0.3, motion=0.0, light=0.0, quality=0, covered=0.0)
ORDINARY = Look(noise=5.0, blur=0.9, motion=1.5, light=0.6, quality=85, covered=0.15)
HARD = Look(noise=10.0, blur=1.3, motion=4.0, light=0.8, quality=70, covered=0.3)
LOOKS = {"clean": CLEAN, "ordinary": ORDINARY, "hard": HARD}


class Bend:
    """Makes a distorted picture of one that was rendered without distortion.

    Args:
        lens: which the result has been taken with.
        focal: of the rendered picture [pixels].
    """

    def __init__(self, lens: Lens, focal: float) -> None:
        width, height = lens.size
        x, y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
        rays = lens.rays(np.stack((x, y), -1).reshape(-1, 1, 2)).reshape(height, width, 2)
        centre = np.array([width - 1, height - 1]) / 2
        self._source = (focal * rays + centre).astype(np.float32)

    def __call__(self, picture: Image) -> Image:
        """(height, width), grey."""
        x, y = self._source[..., 0], self._source[..., 1]
        return np.asarray(cv2.remap(picture, x, y, cv2.INTER_CUBIC), np.uint8)


class Darkroom:
    """Applies looks.

    Args:
        random: where chance comes from.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._bank = random.standard_normal(_NOISE_BANK, dtype=np.float32)

    def develop(self, picture: Image, look: Look, cover: Array | None = None) -> Image:
        """A grey picture (height, width) as a camera would deliver it.

        Args:
            picture: as rendered, grey.
            look: how hard it gets.
            cover: (4, 2) [pixels], the box's surroundings that a hand may cover a part of.
        """
        if cover is not None and self._random.random() < look.covered:
            picture = self._with_hand(picture, cover)
        result = self._smeared(picture, look) * self._light(picture.shape, look)
        strength = look.noise * self._random.uniform(0.3, 1.0)
        result += strength * self._grain(picture.shape)
        developed = np.clip(result, 0, 255).astype(np.uint8)
        if not look.quality:
            return developed
        flags = [cv2.IMWRITE_JPEG_QUALITY, look.quality]
        sent = cv2.imencode(".jpg", developed, flags)[1]
        return np.asarray(cv2.imdecode(sent, cv2.IMREAD_GRAYSCALE), np.uint8)

    def _smeared(self, picture: Image, look: Look) -> Image:
        sigma = look.blur * self._random.uniform(0.4, 1.0)
        smeared = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
        length = look.motion * self._random.random()
        if length < 0.3:
            return smeared
        angle = self._random.uniform(0, np.pi)
        way = np.linspace(-length / 2, length / 2, 9)
        kernel = np.zeros((11, 11), np.float32)
        for x, y in zip(5 + way * np.cos(angle), 5 + way * np.sin(angle), strict=True):
            column, row = int(x), int(y)
            right, down = x - column, y - row
            kernel[row, column] += (1 - right) * (1 - down)
            kernel[row, column + 1] += right * (1 - down)
            kernel[row + 1, column] += (1 - right) * down
            kernel[row + 1, column + 1] += right * down
        return np.asarray(cv2.filter2D(smeared, -1, kernel / kernel.sum()), np.uint8)

    def _light(self, shape: tuple[int, int], look: Look) -> NDArray[np.float32]:
        """Darker to one side, and a bright spot somewhere."""
        height, width = (length // 8 for length in shape)  # it varies slowly
        x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None]
        y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
        angle = self._random.uniform(0, 2 * np.pi)
        slope = look.light * self._random.random()
        fall = 1 - slope * (0.5 + x * np.cos(angle) + y * np.sin(angle)).clip(0, 1)
        spot_x, spot_y = self._random.uniform(-0.5, 0.5, 2)
        spot = np.exp(-((x - spot_x) ** 2 + (y - spot_y) ** 2) / 0.03)
        light = np.asarray(fall + 0.5 * slope * spot, np.float32)
        return np.asarray(cv2.resize(light, shape[::-1], interpolation=cv2.INTER_LINEAR))

    def _grain(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        top = int(self._random.integers(_NOISE_BANK[0] - shape[0]))
        left = int(self._random.integers(_NOISE_BANK[1] - shape[1]))
        return self._bank[top : top + shape[0], left : left + shape[1]]

    def _with_hand(self, picture: Image, cover: Array) -> Image:
        """Fingers, as ellipses of skin, over a side of the box."""
        covered = picture.copy()
        middle, size = cover.mean(0), float(np.ptp(cover, 0).max())
        direction = self._random.uniform(0, 2 * np.pi)
        away = np.array([np.cos(direction), np.sin(direction)])
        for finger in range(3):
            aside = (finger - 1) * 0.3 * size * np.array([-away[1], away[0]])
            centre = middle + aside + away * size * self._random.uniform(0.5, 0.8)
            axes = (max(0.45 * size, 1), max(0.14 * size, 1))
            shade = min(255 * _SKIN * self._random.uniform(0.8, 1.2), 255)
            cv2.ellipse(
                covered, (tuple(centre), tuple(2 * axis for axis in axes), np.degrees(direction)),
                shade, -1, cv2.LINE_AA,
            )  # fmt: skip
        return covered
