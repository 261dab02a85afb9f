"""What is compared: registered parts, chosen by name as on the command line, and exact bounds."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import attrs

from codi_baselines.selection import select
from codi_core.guidance import Guidance
from codi_core.host.choices import make_part, parse_choice
from codi_core.host.plugins import Host
from codi_core.host.records import MethodParts
from codi_core.planning import Planner
from codi_core.samplers import KarrasSchedule, Sampler
from codi_core.testing import ExactGuidance, ExactPosterior, TrajectoryProblem

EXACT = "exact"
"""The name of the exact posterior and of the exact guidance, which are no plugins."""

MOST_VALUES = 2**15
"""M·D of all but the printed estimator, which bounds the benchmark's time."""

WARM = "warm-start:sigma_warm=2.5,steps=24,cold=0.1"


class Role(StrEnum):
    """What an estimator is there for."""

    PRINTED = "printed"
    GUIDANCE = "guidance"
    PEER = "peer"
    BOUND = "bound"


@attrs.frozen
class Estimator:
    """One curve of the benchmark.

    The efforts decide how many plans are made, so that no curve takes much longer than another.

    Attributes:
        label: its name in tables, pictures and on the command line.
        samples: the numbers M that are tried, rising.
        role: what it is compared as.
        method: the planning method, as for ``--method``; ``{samples}`` in it stands for M.
        posterior: the posterior approximation, as for ``--posterior``, or "exact".
        guidance: the guidance, as for ``--guidance``, or "exact".
        sampler: the sampler, as for ``--sampler``.
        replans: how often a plan is made again from the previous one; the last one counts.
        chained: whether the evaluations of all of these plans count, as for one that takes so many,
            and not those of the last one alone, as in the closed loop.
        effort: how many samples of the printed estimator a sample takes as long as.
        overhead: how many samples the rest of a step takes as long as.
        weight: how many times as many plans as others it is measured on, where the claim rests on
            it.
    """

    label: str
    samples: tuple[int, ...]
    role: Role = Role.GUIDANCE
    method: str = "codi"
    posterior: str = "isotropic"
    guidance: str = "monte-carlo"
    sampler: str = "euler-maruyama"
    replans: int = 0
    chained: bool = False
    effort: float = 1.0
    overhead: float = 16.0
    weight: float = 1.0

    def samples_at(self, dimension: int) -> tuple[int, ...]:
        """Those M that are tried in a dimension: the printed estimator with all of them."""
        most = MOST_VALUES // dimension
        return tuple(m for m in self.samples if m <= most or self.role is Role.PRINTED)

    @property
    def estimates(self) -> bool:
        """Whether it has estimates of g of its own, at any noise level."""
        return self.method == "codi" and not self.replans and self.guidance != EXACT

    def guidance_for(self, host: Host, problem: TrajectoryProblem, samples: int) -> Guidance:
        """The guidance with M samples."""
        if self.guidance == EXACT:
            return ExactGuidance(problem.oracle)
        if self.posterior == EXACT:
            posterior: Any = ExactPosterior(problem.product)
        else:
            choice = parse_choice(self.posterior, "posterior")
            posterior = make_part(
                host.posteriors.get(choice.name).factory,
                f"posterior '{choice.name}'",
                options=choice.options,
            )
        choice = parse_choice(self.guidance, "guidance")
        guidance: Guidance = make_part(
            host.guidances.get(choice.name).factory,
            f"guidance '{choice.name}'",
            options=choice.options,
            posterior=posterior,
            samples=samples,
            temperature=problem.temperature,
        )
        return guidance

    def planner_for(
        self, host: Host, problem: TrajectoryProblem, schedule: KarrasSchedule, samples: int
    ) -> Planner:
        """The planner with M samples."""
        choice = parse_choice(self.sampler, "sampler")
        sampler: Sampler = make_part(
            host.samplers.get(choice.name).factory,
            f"sampler '{choice.name}'",
            options=choice.options,
            schedule=schedule,
        )
        parts = MethodParts(
            problem.product,
            problem.predictor,
            problem.cost,
            self.guidance_for(host, problem, samples),
            sampler,
            samples,
            problem.temperature,
        )
        choice = parse_choice(self.method.format(samples=samples), "method")
        planner: Planner = make_part(
            host.methods.get(choice.name).factory,
            f"method '{choice.name}'",
            parts,
            options=choice.options,
        )
        return planner


PRINTED = "isotropic (printed)"
EXACT_GUIDANCE = "exact guidance"

QUICK = 256
"""The most samples of a quick benchmark."""

FEW, SOME, MANY = (16, 64, 256), (16, 64, 256, 1024), (16, 64, 256, 1024, 4096)

SELECTION = "search:steps=0,candidates={samples}"
"""Without guidance, which is what has a distribution that is known."""

BUILT_IN = (
    Estimator(EXACT_GUIDANCE, (1,), Role.BOUND, guidance=EXACT, weight=8),
    Estimator("no guidance", (1,), Role.BOUND, method="base"),
    Estimator("exact posterior", FEW, Role.BOUND, posterior=EXACT),
    Estimator(PRINTED, MANY, Role.PRINTED, weight=2),
    Estimator("matched", FEW, posterior="matched"),
    Estimator("correlated", FEW, posterior="correlated", overhead=96),
    Estimator("data-covariance", FEW, posterior="data-covariance", overhead=64),
    Estimator("jacobian", FEW, posterior="jacobian", overhead=96),
    Estimator("denoised", FEW[:2], posterior="denoised:steps=8", effort=12),
    Estimator("isotropic, ess 0.1", FEW[:2], guidance="monte-carlo:ess=0.1", effort=2),
    Estimator("library", SOME, guidance="library"),
    Estimator(
        "hybrid, jacobian", FEW, posterior="jacobian", guidance="hybrid:switch=0.5", overhead=64
    ),
    Estimator(
        "hybrid, library 256",
        FEW[:2],
        posterior="jacobian",
        guidance="hybrid:switch=0.5,library=256",
        overhead=256,
    ),
    Estimator(
        "hybrid, data-cov.",
        FEW,
        posterior="data-covariance",
        guidance="hybrid:switch=0.5",
        overhead=64,
    ),
    Estimator(
        "reparameterized",
        (1, 4, 16, 64),
        posterior="data-covariance",
        guidance="reparameterized",
        overhead=32,
        weight=6,
    ),
    Estimator("isotropic, warm", FEW, sampler=WARM, replans=3, effort=2.5),
    Estimator("best-of", FEW, Role.PEER, "best-of"),
    Estimator("resampling", (4, 16, 64), Role.PEER, "resampling", weight=6),
    Estimator("selection", (4, 16, 64, 256), Role.PEER, SELECTION),
    Estimator("selection, 4 sweeps", (4, 16, 64, 256), Role.PEER, f"{SELECTION},sweeps=4"),
    Estimator("selection, chain", (4, 16, 64), Role.PEER, SELECTION, replans=7, chained=True),
    Estimator("search", FEW, Role.PEER, "search"),
)


def estimators(host: Host) -> tuple[Estimator, ...]:
    """The built-in comparison, and the posteriors of other plugins beside it."""
    known = {parse_choice(entry.posterior, "posterior").name for entry in BUILT_IN}
    others = (name for name in host.posteriors.names() if name not in known)
    return (*BUILT_IN, *(Estimator(name, FEW, posterior=name, overhead=96) for name in others))


def chosen(host: Host, labels: Sequence[str] | None = None) -> tuple[Estimator, ...]:
    """Those of the given labels, or all.

    Raises:
        UsageError: there is none of a label; the message lists the valid ones, nearest first.
    """
    return select("estimator", estimators(host), labels)


def quicker(wanted: Sequence[Estimator]) -> tuple[Estimator, ...]:
    """The same with at most ``QUICK`` samples."""
    return tuple(
        attrs.evolve(e, samples=tuple(count for count in e.samples if count <= QUICK))
        for e in wanted
    )
