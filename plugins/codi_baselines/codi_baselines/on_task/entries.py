"""What is compared on a task: registered parts by name, and how they spend their rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import attrs

from codi_baselines.selection import select
from codi_core.errors import UsageError
from codi_core.host.choices import parse_choice
from codi_core.host.plugins import Host
from codi_core.samplers import KarrasSchedule, WarmStartSampler

WARM = attrs.fields(WarmStartSampler)

SHARES = 8
"""A method that splits its rollouts by itself guides with one of so many parts a step."""


class Spending(StrEnum):
    """Where the rollouts of a plan go."""

    STEPS = "M at each denoising step"
    PLAN = "M once a plan"
    BOTH = "half of them once a plan, half at the steps below a noise level"
    SPLIT = "as the method splits them, M = an eighth of them at each guided step"
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
        sampler: as for ``--sampler``; None takes the comparison's common one.
    """

    label: str
    spending: Spending = Spending.STEPS
    method: str = "codi"
    posterior: str = "isotropic"
    guidance: str = "monte-carlo"
    sampler: str | None = None

    def options(
        self, rollouts: int, schedule: KarrasSchedule, sampler: str = "ancestral"
    ) -> dict[str, Any]:
        """The options of ``codi-run`` that make this entry spend a number of rollouts a replan.

        Args:
            rollouts: the budget; what is spent is at most that.
            schedule: the noise levels of a plan from pure noise.
            sampler: the common sampler, as for ``--sampler``.

        Raises:
            UsageError: the budget is below one sample.
        """
        chosen = self.sampler or sampler
        levels = replan_schedule(chosen, schedule)
        calls, guidance = _calls_a_level(chosen), self.guidance
        samples = rollouts // (levels.steps * calls)
        method = self.method
        if self.spending is Spending.PLAN:
            samples = rollouts
        elif self.spending is Spending.SPLIT:
            samples, method = rollouts // SHARES, f"{method}:rollouts={rollouts}"
        elif self.spending is Spending.BOTH:
            near = calls * int((levels.levels()[:-1] <= _switch(guidance)).sum())
            samples = rollouts // 2 // max(near, 1)
            guidance = f"{guidance},library={rollouts - samples * near}"
        if self.spending is not Spending.NONE and samples < 1:
            raise UsageError(
                f"--rollouts {rollouts} leaves '{self.label}' less than one sample a step "
                f"({levels.steps} steps): give more, or leave it out with --entries"
            )
        return {
            "method": method,
            "posterior": self.posterior,
            "guidance": guidance,
            "sampler": chosen,
            "samples": max(samples, 1),
        }


def replan_schedule(sampler: str, schedule: KarrasSchedule) -> KarrasSchedule:
    """The noise levels of a replan that follows another plan.

    Args:
        sampler: as for ``--sampler``.
        schedule: the noise levels of a plan from pure noise.
    """
    choice = parse_choice(sampler, "sampler")
    if choice.name != "warm-start":
        return schedule
    given = {"steps": WARM.steps.default, "sigma_warm": WARM.sigma_warm.default, **choice.options}
    return attrs.evolve(schedule, steps=int(given["steps"]), sigma_max=float(given["sigma_warm"]))


def _calls_a_level(sampler: str) -> int:
    """How often a replan's steps call the denoiser at a noise level, at most."""
    choice = parse_choice(sampler, "sampler")
    return 2 if choice.options.get("first", choice.name) == "heun" else 1


def _switch(guidance: str) -> float:
    return float(parse_choice(guidance, "guidance").options["switch"])


BUILT_IN = (
    Entry("base", Spending.NONE, method="base"),
    Entry("isotropic"),
    Entry("matched", posterior="matched"),
    Entry("correlated", posterior="correlated"),
    Entry("isotropic-ess", guidance="monte-carlo:ess=0.1"),
    Entry("warm-start", sampler="warm-start:sigma_warm=5.0,steps=8,cold=0.1"),
    Entry("ancestral", sampler="ancestral"),
    Entry("resampling", method="resampling", sampler="ancestral"),
    Entry("reparameterized", guidance="reparameterized"),
    Entry("data-covariance", posterior="data-covariance:estimate_from=32,steps=4"),
    Entry("hybrid", Spending.BOTH, guidance="hybrid:switch=2.0,steps=4"),
    Entry(
        "hybrid-correlated",
        Spending.BOTH,
        posterior="correlated",
        guidance="hybrid:switch=2.0,steps=4",
    ),
    Entry("denoised", posterior="denoised:steps=4"),
    Entry("library", Spending.PLAN, guidance="library:steps=4"),
    Entry("best-of", Spending.PLAN, method="best-of"),
    Entry("search", Spending.SPLIT, method="search", posterior="correlated"),
    Entry("jacobian", posterior="jacobian"),
)
"""From cheap to expensive in calls of the denoiser: an interrupted comparison has most rows.

Base samples take four steps: fewer would all end near the policies' mean."""


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
