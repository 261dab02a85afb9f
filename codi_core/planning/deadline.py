"""Plans that are ready by their deadline: fewer steps where there is no time for all."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from codi_core.planning.context import PlanContext


class Pace:
    """Measures how long the steps of a plan take, and how many more fit before its deadline.

    The first step begins when it is made. Without a deadline no clock is read, and all fit.

    Args:
        context: the plan.
    """

    def __init__(self, context: PlanContext) -> None:
        self._context = context
        self._began = 0.0 if context.deadline is None else time.monotonic()

    def fits(self) -> float:
        """How many further steps fit, if they take as long as this one; to be called after each."""
        deadline = self._context.deadline
        if deadline is None:
            return math.inf
        if self._context.noise.device.type == "cuda":
            # What a GPU is told to do returns at once: wait for it, or the queueing is measured.
            torch.cuda.synchronize(self._context.noise.device)
        # The latest step and no mean: a guidance may become slower below some noise level.
        now = time.monotonic()
        seconds, self._began = now - self._began, now
        return max(0.0, deadline - now) / max(seconds, 1e-9)

    def shorten(self) -> None:
        """Note that the plan has less than it should have; a plan counts once."""
        self._context.diagnostics.counts["shortened_plans"] = self._context.worlds


class Descent:
    """The noise levels that a plan visits: all of them, or fewer if its deadline comes near.

    ::

        descent = Descent(levels, context)
        for sigma in descent:
            denoised = denoiser(noisy, sigma)
            after = descent.after()
            ...

    As many of the levels to come as there is time for are visited, evenly spread. However late it
    is, one is, and the last level after it is always the zero at the end.

    Args:
        levels: falling and with a zero at the end, (n + 1,), or one column per world, (n + 1, B).
        context: the plan; None stands for one without a deadline.
    """

    def __init__(self, levels: Tensor, context: PlanContext | None = None) -> None:
        self._levels = levels
        self._pace = None if context is None or context.deadline is None else Pace(context)
        self._at = 0

    def __iter__(self) -> Iterator[Tensor]:
        """The levels above zero at which to denoise."""
        while not self.ended:
            yield self._levels[self._at]

    @property
    def ended(self) -> bool:
        """Whether the zero at the end is reached: the chunk denoised last is the result."""
        return self._at == len(self._levels) - 1

    def after(self) -> Tensor:
        """The level to go to, now that the chunk is denoised at the present one; once for each."""
        end = len(self._levels) - 1
        due = end - self._at - 1
        fits = due if self._pace is None else self._pace.fits()
        if fits < due:
            assert self._pace is not None
            self._pace.shorten()
            self._at += math.ceil((due + 1) / (math.floor(fits) + 1))
        else:
            self._at += 1
        return self._levels[self._at]
