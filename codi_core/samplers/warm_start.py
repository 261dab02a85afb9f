"""Sampling that begins from the previous plan."""

from __future__ import annotations

import attrs
import torch
from attrs import validators
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning import Denoiser, Descent, PlanContext
from codi_core.samplers.base import Integrator, Sampler
from codi_core.samplers.schedules import Schedule


@attrs.frozen
class WarmStartSampler(Sampler):
    """Begins from the previous plan, shifted by its committed actions and re-noised.

    Where a previous plan exists, denoising starts at ``sigma_warm`` instead of sigma_max and
    takes fewer steps. With the probability ``cold`` a world forgets its plan, which frees it from
    deadlocks: it takes the same number of steps, but from sigma_max. So all replans of all worlds
    cost the same.

    Attributes:
        first: makes plans where there is no previous one, and takes a replan's steps; its schedule
            has the noise levels' range and spacing.
        sigma_warm: the noise that is added to the shifted plan. Below the distance between
            modes, the plan can't change its mind.
        steps: the denoising steps of a replan.
        cold: the probability of forgetting the previous plan, for each world and replan.
    """

    first: Integrator
    sigma_warm: float = attrs.field(default=5.0, validator=validators.gt(0))
    steps: int = attrs.field(default=8, validator=validators.ge(1))
    cold: float = attrs.field(default=0.1, validator=[validators.ge(0), validators.le(1)])
    schedule: Schedule = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        schedule = self.first.schedule
        if not schedule.sigma_min < self.sigma_warm <= schedule.sigma_max:
            raise SpecificationError(
                f"a warm start needs sigma_min < sigma_warm <= sigma_max; sigma_warm is "
                f"{self.sigma_warm}, the schedule {schedule}"
            )
        object.__setattr__(self, "schedule", schedule)

    def sample(self, denoiser: Denoiser, size: int, context: PlanContext) -> Tensor:
        """Integrate from the re-noised previous plan, or from pure noise, to (B, size)."""
        previous = shifted_previous(context)
        if previous is None:
            return self.first.sample(denoiser, size, context)
        # Each world decides with its own stream: alone or in a batch, the decision is the same.
        forget = context.noise.uniform(1) < self.cold
        forget = forget | ~torch.isfinite(previous).all(-1, keepdim=True)
        # A chunk of several samples side by side begins with the same plan in each.
        centre = torch.where(forget, 0.0, previous).repeat(1, size // previous.shape[-1])
        levels = torch.where(
            forget[:, 0],
            self._levels(self.schedule.sigma_max, context).unsqueeze(-1),
            self._levels(self.sigma_warm, context).unsqueeze(-1),
        )
        context.diagnostics.count("cold_replans", forget.sum())
        noisy = centre + levels[0].unsqueeze(-1) * context.noise.normal(size)
        return self.first.integrate(denoiser, noisy, Descent(levels, context), context)

    def _levels(self, start: float, context: PlanContext) -> Tensor:
        return self.schedule.starting_at(start, self.steps).levels(context.noise.device)


def shifted_previous(context: PlanContext) -> Tensor | None:
    """The previous plan as seen from the start of this one, (B, D), or None without one.

    Row k becomes row k + committed of each factor's chunk; its last action is repeated.
    """
    previous, committed, horizon = context.previous, context.committed, context.layout.horizon
    if previous is None or committed >= horizon:
        return None
    rows = (torch.arange(horizon, device=previous.device) + committed).clamp_max(horizon - 1)
    blocks = context.layout.blocks
    if len({block.stop - block.start for block in blocks}) == 1:
        return torch.unflatten(previous, -1, (len(blocks), horizon, -1))[:, :, rows].flatten(1)
    chunks = [
        torch.unflatten(previous[:, block], -1, (horizon, -1))[:, rows].flatten(1)
        for block in blocks
    ]
    return torch.cat(chunks, -1)
