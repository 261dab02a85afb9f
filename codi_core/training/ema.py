"""An exponential moving average of a model's parameters."""

from __future__ import annotations

import copy
import math

import attrs
import torch
from torch import Tensor, nn

from codi_core.defaults import EMA_MAXIMUM, EMA_POWER


@attrs.frozen
class EMASettings:
    """How fast the average forgets.

    After step n the decay is 1 - (1 + n)^-power, at most ``maximum``: an average over a growing
    share of the past, which forgets the beginning of training.

    Attributes:
        power: the exponent of the warm-up.
        maximum: the highest decay.
    """

    power: float = EMA_POWER
    maximum: float = EMA_MAXIMUM

    def decay(self, step: int) -> float:
        """The decay at update ``step``, counted from 0; the first is 0, which copies."""
        return min(self.maximum, 1.0 - math.pow(1.0 + step, -self.power))


class ExponentialMovingAverage:
    """Keeps the averaged copy of a model.

    Args:
        model: the model that is trained. Its buffers are copied, its parameters averaged.
        settings: how fast the average forgets.
    """

    def __init__(self, model: nn.Module, settings: EMASettings) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.settings = settings
        self._averages: list[Tensor] = list(self.model.parameters())
        self._sources = [parameter.detach() for parameter in model.parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model's parameters after optimisation step ``step``, counted from 0."""
        weight = 1.0 - self.settings.decay(step)
        torch._foreach_lerp_(self._averages, self._sources, weight)
