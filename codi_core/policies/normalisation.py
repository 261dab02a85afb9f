"""Affine maps between physical units and the unit space in which noise is isotropic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codi_core.errors import SpecificationError


class Normaliser(nn.Module):
    """x_normalised = (x - mean) / scale, for each of A dimensions.

    A module, so that its numbers travel in the state dict of the policy that owns it: a
    checkpoint cannot lose them.

    Args:
        mean: (A,), physical units.
        scale: (A,), physical units, positive.

    Raises:
        SpecificationError: the shapes differ, or a scale is not positive and finite.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        mean, scale = torch.as_tensor(mean).float(), torch.as_tensor(scale).float()
        if mean.ndim != 1 or mean.shape != scale.shape:
            raise SpecificationError(
                f"a normaliser needs mean and scale of one shape (A,); "
                f"got {tuple(mean.shape)} and {tuple(scale.shape)}"
            )
        if not bool((torch.isfinite(scale) & (scale > 0)).all()):
            raise SpecificationError("a normaliser's scale must be positive and finite")
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    @classmethod
    def identity(cls, dimension: int) -> Normaliser:
        """The map that changes nothing."""
        return cls(torch.zeros(dimension), torch.ones(dimension))

    @classmethod
    def fit(cls, values: Tensor) -> Normaliser:
        """Zero mean and unit standard deviation over rows of ``values`` (n, A).

        Dimensions that don't vary, see :func:`varying`, keep the scale 1.
        """
        std = values.double().std(0, correction=min(1, len(values) - 1))
        scale = torch.where(varying(values), std, torch.ones_like(std))
        return cls(values.double().mean(0), scale)

    def encode(self, values: Tensor) -> Tensor:
        """From physical units (..., A) to unit space."""
        return (values - self.mean) / self.scale

    def decode(self, values: Tensor) -> Tensor:
        """From unit space (..., A) to physical units."""
        return values * self.scale + self.mean


def varying(values: Tensor) -> Tensor:
    """Which of A dimensions vary over the rows of ``values`` (n, A): booleans (A,).

    One that differs by no more than single precision rounds it does not. Units don't matter.
    """
    low, high = values.double().amin(0), values.double().amax(0)
    rounding = 4 * torch.finfo(torch.float32).eps * torch.maximum(low.abs(), high.abs())
    return high - low > rounding
