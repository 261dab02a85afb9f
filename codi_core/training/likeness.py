"""Whether samples have the distribution of others: two-sample measures, state by state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

MODES = 4
"""Into how many groups the reference is divided in each state."""

SWEEPS = 10
"""How often the groups' means and members are found anew."""


def energy_distance(first: Tensor, second: Tensor) -> Tensor:
    """2 E‖X - Y‖ - E‖X - X'‖ - E‖Y - Y'‖, estimated without bias.

    Zero in expectation for samples of one distribution, and then sometimes a little negative. From
    samples (..., n, D) and (..., m, D) to (...).
    """
    first, second = first.double(), second.double()
    across = torch.cdist(first, second).mean((-1, -2))
    return 2 * across - _mean_distance(first) - _mean_distance(second)


@attrs.frozen
class Likeness:
    """How far samples are from those of a reference, over all states.

    Attributes:
        energy_distance: see :func:`energy_distance`; the mean of all states.
        mode_difference: ½ Σ |p - q| of the shares of samples in each of the reference's groups.
            Of few samples of one distribution it is above zero, too.
        modes_found: the share of the reference's groups that have any of the samples, each group
            weighed by its size.
        variance: by action value, the variance in one state over that of the reference.
    """

    energy_distance: float
    mode_difference: float
    modes_found: float
    variance: dict[str, float]

    def document(self) -> dict[str, Any]:
        """The same, JSON-able."""
        return attrs.asdict(self)


def likeness(reference: Tensor, samples: Tensor, names: Sequence[str]) -> Likeness:
    """Compare samples with a reference.

    Args:
        reference: n samples in each of S states, (S, n, K·A).
        samples: as many or more or fewer in the same states, (S, m, K·A).
        names: of the A action values.
    """
    centres = group_means(reference, min(MODES, reference.shape[1]))
    own, other = _shares(reference, centres), _shares(samples, centres)
    variance = _variance(samples, len(names)) / _variance(reference, len(names))
    return Likeness(
        float(energy_distance(reference, samples).mean()),
        float(0.5 * (own - other).abs().sum(-1).mean()),
        float((own * (other > 0)).sum(-1).mean()),
        dict(zip(names, variance.tolist(), strict=True)),
    )


def group_means(samples: Tensor, count: int) -> Tensor:
    """The means of so many groups of samples (S, n, D) by Lloyd's algorithm, (S, count, D).

    It begins with samples that are as far apart as can be, so nothing is drawn at random.
    """
    centres = samples[:, :1]
    for _ in range(count - 1):
        farthest = torch.cdist(samples, centres).amin(-1).argmax(-1)
        centres = torch.cat([centres, _at(samples, farthest)], 1)
    for _ in range(SWEEPS):
        members = _members(samples, centres).mT  # (S, count, n)
        sizes = members.sum(-1, keepdim=True)
        centres = torch.where(sizes > 0, members @ samples / sizes.clamp_min(1), centres)
    return centres


def _at(samples: Tensor, index: Tensor) -> Tensor:
    return samples[torch.arange(len(samples), device=samples.device), index].unsqueeze(1)


def _members(samples: Tensor, centres: Tensor) -> Tensor:
    """1 where a sample's nearest centre is that one, (S, n, count)."""
    nearest = torch.cdist(samples, centres).argmin(-1)
    return torch.nn.functional.one_hot(nearest, centres.shape[1]).to(samples.dtype)


def _shares(samples: Tensor, centres: Tensor) -> Tensor:
    return _members(samples, centres).mean(1)


def _variance(samples: Tensor, dimension: int) -> Tensor:
    """The variance in one state of each action value, the mean of all states and steps: (A,)."""
    return samples.double().var(1).mean(0).reshape(-1, dimension).mean(0).clamp_min(1e-12)


def _mean_distance(points: Tensor) -> Tensor:
    count = points.shape[-2]
    return torch.cdist(points, points).sum((-1, -2)) / (count * (count - 1))
