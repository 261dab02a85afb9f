"""Everything that belongs to one plan and to nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs
from torch import Tensor

from codi_core.planning.diagnostics import Diagnostics
from codi_core.planning.layout import ChunkLayout
from codi_core.planning.noise import NoiseSource
from codi_core.planning.stopwatch import stopwatch_of

if TYPE_CHECKING:
    from codi_core.costs import CostTerms

Observation = Mapping[str, Tensor]
"""Named observations, each (B, H, ...) with the history H, oldest first."""

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""D(a_t, sigma) = E[a | a_t] for flat joint chunks a_t (B, ..., D); sigma is () or (B,)."""


def prepare(denoiser: Denoiser, levels: Tensor) -> None:
    """Tell a denoiser which noise levels (L,) will come, if it has a method for that.

    What depends on the levels and the observation alone can then be done once, for all of them.
    """
    method = getattr(denoiser, "prepare", None)
    if method is not None:
        method(levels)


Evaluate = Callable[[Tensor], Tensor]
"""The cost of flat joint chunks: (B, M, D) -> (B, M), NaN where the cost has no value."""


@runtime_checkable
class LocalEvaluate(Protocol):
    """An :data:`Evaluate` that also has the terms of the cost: what planners give to guidance."""

    def __call__(self, flat: Tensor, /) -> Tensor:
        """The cost of flat joint chunks: (B, M, D) -> (B, M)."""

    def terms(self, flat: Tensor, /) -> CostTerms:
        """The terms of the cost of flat joint chunks (B, M, D)."""


@attrs.frozen(eq=False)
class PlanContext:
    """One plan of B worlds: what its parts may read, and where they may write.

    Attributes:
        noise: the random streams of this plan.
        observation: the joint observation, named tensors (B, H, ...).
        layout: what a flat joint chunk means; the planner's ``layout``.
        state: the task's typed state estimate at the time when the plan starts.
        previous: the previous plan's flat joint chunk, normalised, (B, D), or None.
        committed: how many actions of the previous plan run before this one starts.
        deadline: the `time.monotonic()` by which the plan is wanted, or None.
        sigma_range: the noise levels (lowest, highest) between which the plan is made. A planner
            hands its parts a context with its sampler's; by default they are those that all
            policies know.
        diagnostics: where measurements go.
        cache: scratch space for parts that share work within the plan.
    """

    noise: NoiseSource
    observation: Observation
    layout: ChunkLayout
    state: Any = None
    previous: Tensor | None = None
    committed: int = 0
    deadline: float | None = None
    sigma_range: tuple[float, float] = attrs.field()
    diagnostics: Diagnostics = attrs.field()
    cache: dict[Any, Any] = attrs.field(factory=dict)

    @sigma_range.default
    def _known_levels(self) -> tuple[float, float]:
        return self.layout.sigma_range

    @diagnostics.default
    def _timed_where_it_works(self) -> Diagnostics:
        return Diagnostics(stopwatch=stopwatch_of(self.noise.device))

    @property
    def worlds(self) -> int:
        """The number of worlds B."""
        return self.noise.worlds


@attrs.frozen
class Plan:
    """What planning returns.

    Attributes:
        chunks: one action chunk per agent, physical units, (B, K, A_i) each.
        flat: the same, as a flat joint chunk in normalised units, (B, D).
        diagnostics: what was measured on the way.
    """

    chunks: tuple[Tensor, ...]
    flat: Tensor
    diagnostics: Diagnostics
