"""The base policy p_theta^(i): a diffusion policy of one agent, or of several."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import attrs
from torch import Tensor

from codi_core.defaults import HORIZON
from codi_core.errors import SpecificationError
from codi_core.planning import Denoiser, Observation
from codi_core.planning.defaults import SIGMA_RANGE
from codi_core.policies.normalisation import Normaliser

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each named observation."""


def _names(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _shapes(shapes: Mapping[str, Iterable[int]]) -> Shapes:
    return {name: tuple(shape) for name, shape in shapes.items()}


def _range(values: Iterable[float]) -> tuple[float, float]:
    low, high = values
    return low, high


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_whole(value: object, minimum: float = -math.inf) -> bool:
    return isinstance(value, int) and value >= minimum


@attrs.frozen
class ActionSpec:
    """What a policy's chunk means.

    Attributes:
        names: one name an action dimension, with the unit where it has one; A = len(names).
        horizon: K, the number of actions in a chunk.
        rate_hz: the control rate [Hz] at which the actions follow one another.
        offset: which control step the chunk's first action belongs to; 0 is the present one.

    Raises:
        SpecificationError: no horizon or rate is meant by a number.
    """

    names: tuple[str, ...] = attrs.field(converter=_names)
    horizon: int = HORIZON
    rate_hz: float = 10.0
    offset: int = 0

    def __attrs_post_init__(self) -> None:
        if not _is_whole(self.horizon, 1) or not _is_whole(self.offset):
            raise SpecificationError(
                f"an action chunk has a horizon of at least 1 and an offset, both whole numbers; "
                f"got {self.horizon!r} and {self.offset!r}"
            )
        if not _is_finite(self.rate_hz) or self.rate_hz <= 0:
            raise SpecificationError(f"a control rate is a positive number, not {self.rate_hz!r}")

    @property
    def dimension(self) -> int:
        """A, the number of values in one action."""
        return len(self.names)

    @property
    def size(self) -> int:
        """K·A, the number of values in one chunk."""
        return self.horizon * len(self.names)


@attrs.frozen
class PolicySpec:
    """What a policy reads and writes.

    Attributes:
        action: the meaning of its chunks.
        observation: the shape of each named observation, without worlds and history.
        history: H, how many past observations it reads.
        sigma_range: the noise levels (lowest, highest) at which it can be evaluated.

    Raises:
        SpecificationError: no history or noise levels are meant by a number.
    """

    action: ActionSpec
    observation: Shapes = attrs.field(converter=_shapes)
    history: int = 1
    sigma_range: tuple[float, float] = attrs.field(default=SIGMA_RANGE, converter=_range)

    def __attrs_post_init__(self) -> None:
        if not _is_whole(self.history, 1):
            raise SpecificationError(f"a history is a number of at least 1, not {self.history!r}")
        low, high = self.sigma_range
        if not (_is_finite(low) and _is_finite(high) and 0 <= low < high):
            raise SpecificationError(f"noise levels are a range above 0, not {low!r} to {high!r}")


class BasePolicy(ABC):
    """A diffusion policy p_theta(a | s), known through its denoiser.

    Attributes:
        spec: what the policy reads and writes.
        normaliser: between physical actions (..., A) and the unit space that is diffused.
    """

    spec: PolicySpec
    normaliser: Normaliser

    @abstractmethod
    def denoiser(self, observation: Observation) -> Denoiser:
        """Encode the observation once and return the denoiser for it.

        Args:
            observation: named tensors (B, H, ...), in physical units.

        Returns:
            D(a_t, sigma) = E[a | a_t, s] on normalised flat chunks (B, ..., K·A), with sigma
            of shape () or (B,). It is differentiable in a_t. The score of Eq. 3 is
            (D(a_t, sigma) - a_t) / sigma².
        """


@attrs.frozen
class Batch:
    """n windows of demonstrations, in physical units.

    Attributes:
        observation: named tensors (n, H, ...), oldest first.
        actions: the chunks that followed, (n, K, A).
    """

    observation: Observation
    actions: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        observation = {name: value.to(device) for name, value in self.observation.items()}
        return Batch(observation, self.actions.to(device))


def as_rows(noisy: Tensor, sigma: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Flatten worlds and samples into R rows, and give each row its world's embedding.

    Args:
        noisy: (B, ..., D).
        sigma: () or (B,).
        embedding: one row per world, (B, E).

    Returns:
        The chunks (R, D), the noise levels (R,), or (1,) if all rows share one, and the
        embeddings (R, E).
    """
    levels = sigma.reshape(-1)
    if noisy.ndim == 2:
        return noisy, levels, embedding
    samples = noisy.flatten(1, -2)
    copies = samples.shape[1]
    if len(levels) > 1:
        levels = levels.repeat_interleave(copies)
    return samples.flatten(0, 1), levels, embedding.repeat_interleave(copies, 0)
