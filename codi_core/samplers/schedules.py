"""Sequences of noise levels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache

import attrs
import torch
from torch import Tensor

from codi_core.errors import SpecificationError


class Schedule(ABC):
    """A falling sequence of noise levels.

    Attributes:
        steps: how many levels above zero, which is the number of denoiser calls.
        sigma_max: the first level, T of Eq. 11.
        sigma_min: the last level above zero.
    """

    steps: int
    sigma_max: float
    sigma_min: float

    @abstractmethod
    def levels(self, device: torch.device | str = "cpu") -> Tensor:
        """The levels in falling order with a final zero, (steps + 1,), float32."""

    @abstractmethod
    def starting_at(self, sigma_max: float, steps: int) -> Schedule:
        """A schedule of the same kind with another first level and number of steps."""

    def levels_from(self, first: Tensor, steps: int) -> Tensor:
        """The levels of each world from a first one of its own.

        Args:
            first: (B,).
            steps: how many levels above zero.

        Returns:
            (steps + 1, B), falling, with a final zero.
        """
        each = [self.starting_at(level, steps).levels(first.device) for level in first.tolist()]
        return torch.stack(each, -1)


@attrs.frozen
class KarrasSchedule(Schedule):
    """Noise levels spaced evenly in sigma^(1/rho), Eq. 5 of Karras et al. (2022).

    Attributes:
        steps: how many levels above zero, which is the number of denoiser calls.
        sigma_max: the first level, T of Eq. 11.
        sigma_min: the last level above zero.
        rho: the spacing; larger values put more levels near sigma_min.
    """

    steps: int = 16
    sigma_max: float = 40.0
    sigma_min: float = 0.05
    rho: float = 5.0

    def __attrs_post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.sigma_min < self.sigma_max or not self.rho > 0:
            raise SpecificationError(
                "a Karras schedule needs steps >= 1, 0 < sigma_min < sigma_max and rho > 0; "
                f"got {self}"
            )

    def levels(self, device: torch.device | str = "cpu") -> Tensor:
        """The levels in falling order with a final zero, (steps + 1,), float32."""
        return _karras_levels(self, torch.device(device)).clone()

    def starting_at(self, sigma_max: float, steps: int) -> KarrasSchedule:
        """The same spacing from another first level in another number of steps."""
        return attrs.evolve(self, sigma_max=sigma_max, steps=steps)

    def levels_from(self, first: Tensor, steps: int) -> Tensor:
        """The same of each world, without a wait for the device: (steps + 1, B)."""
        return _spaced(first.double(), self.sigma_min, self.rho, steps).to(first.dtype)


@lru_cache(maxsize=64)  # a copy to a device would wait for all that is queued there
@torch.inference_mode(False)  # it outlives the plan that asks first
def _karras_levels(schedule: KarrasSchedule, device: torch.device) -> Tensor:
    first = torch.tensor(schedule.sigma_max, dtype=torch.float64)
    levels = _spaced(first, schedule.sigma_min, schedule.rho, schedule.steps)
    return levels.to(device, torch.float32)


def _spaced(first: Tensor, last: float, rho: float, steps: int) -> Tensor:
    """Levels that are even in sigma^(1/rho), then zero; from (...) to (steps + 1, ...), float64."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64, device=first.device)
    ramp = ramp.reshape(-1, *[1] * first.ndim)
    # Relative to the first level: no power overflows, whatever rho is.
    ratio = (last / first) ** (1 / rho)
    levels = first * (1 + ramp * (ratio - 1)) ** rho
    levels = levels.clamp_min(last)  # a small rho makes the ratio vanish
    return torch.cat([levels, torch.zeros_like(levels[:1])])


def falling_levels(start: Tensor, end: float, steps: int) -> Tensor:
    """Noise levels in equal ratios from ``start`` to ``end``, then zero.

    Args:
        start: the first level, () or (B,).
        end: the last level above zero; a start below it is its own end.
        steps: how many levels above zero.

    Returns:
        (steps + 1,) or (steps + 1, B), falling.
    """
    ramp = torch.linspace(0, 1, steps, device=start.device, dtype=torch.float64)
    ramp = ramp.reshape(-1, *[1] * start.ndim)
    high = start.double()
    levels = high * (high.clamp_max(end) / high) ** ramp
    return torch.cat([levels, levels.new_zeros(1, *start.shape)]).to(start.dtype)
