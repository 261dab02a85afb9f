"""What is compared on a task: registered parts by name, and how they spend their rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import attrs

from codi_core.benchmarking.selection import select
from codi_core.errors import UsageError
from codi_core.host.choices import parse_choice
from codi_core.host.plugins import Host
from codi_core.samplers import KarrasSchedule


class Spending(StrEnum):
    """Where the rollouts of a plan go."""

    STEPS = "M at each denoising step"
    PLAN = "M once a plan"
    BOTH = "half of them once a plan, half at the steps below a noise level"
    NONE = "none"


@attrs.frozen
class Entry:
    """One row of the comparison.

    Attributes:
        label: its name in tables, pictures, folders and on the command line.
        spending: where its rollouts go.
        method: as for ``--method``.
        posterior: as for ``--posterior``.
        guidance: as for ``--guidance``.
        sampler: as for ``--sampler``.
    """

    label: str
    spending: Spending = Spending.STEPS
    method: str = "codi"
    posterior: str = "isotropic"
    guidance: str = "monte-carlo"
    sampler: str = "ancestral"

    def options(self, rollouts: int, schedule: KarrasSchedule) -> dict[str, Any]:
        """The options of ``codi-run`` that make this entry spend a number of rollouts a plan.

        Args:
            rollouts: the budget; what is spent is at most that.
            schedule: the noise levels of a plan.

        Raises:
            UsageError: the budget is below one sample.
        """
        steps = self._steps(schedule)
        samples, guidance = rollouts // steps, self.guidance
        if self.spending is Spending.PLAN:
            samples = rollouts
        elif self.spending is Spending.BOTH:
            near = int((schedule.levels()[:-1] <= _switch(guidance)).sum())
            samples = rollouts // 2 // max(near, 1)
            guidance = f"{guidance},library={rollouts - samples * near}"
        if self.spending is not Spending.NONE and samples < 1:
            raise UsageError(
                f"--rollouts {rollouts} leaves '{self.label}' less than one sample a step "
                f"({steps} steps): give more, or leave it out with --entries"
            )
        return {
            "method": self.method,
            "posterior": self.posterior,
            "guidance": guidance,
            "sampler": self.sampler,
            "samples": max(samples, 1),
        }

    def _steps(self, schedule: KarrasSchedule) -> int:
        chosen = parse_choice(self.sampler, "sampler").options.get("steps", schedule.steps)
        return int(chosen)


def _switch(guidance: str) -> float:
    return float(parse_choice(guidance, "guidance").options["switch"])


BUILT_IN = (
    Entry("isotropic"),
    Entry("matched", posterior="matched"),
    Entry("data-covariance", posterior="data-covariance"),
    Entry("jacobian", posterior="jacobian"),
    Entry("denoised", posterior="denoised"),
    Entry("isotropic-ess", guidance="monte-carlo:ess=0.1"),
    Entry("library", Spending.PLAN, guidance="library"),
    Entry("hybrid", Spending.BOTH, guidance="hybrid:switch=2.0"),
    Entry("reparameterized", guidance="reparameterized"),
    Entry("warm-start", sampler="warm-start:sigma_warm=5.0,steps=8,cold=0.1"),
    Entry("best-of", Spending.PLAN, method="best-of"),
    Entry("resampling", method="resampling"),
    Entry("base", Spending.NONE, method="base"),
)


def entries(host: Host) -> tuple[Entry, ...]:
    """The built-in comparison, and the posteriors of other plugins beside it."""
    known = {parse_choice(entry.posterior, "posterior").name for entry in BUILT_IN}
    others = (name for name in host.posteriors.names() if name not in known)
    return (*BUILT_IN, *(Entry(name, posterior=name) for name in others))


def chosen(host: Host, labels: Sequence[str] | None = None) -> tuple[Entry, ...]:
    """Those of the given labels, in the order of the comparison, or all.

    Raises:
        UsageError: there is none of a label; the message lists the valid ones, nearest first.
    """
    return select("entry", entries(host), labels)
