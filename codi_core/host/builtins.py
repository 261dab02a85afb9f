"""The built-in plugin: codi_core's own parts register through everybody's hooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from codi_core.host.hookspecs import hookimpl
from codi_core.host.records import (
    BasePolicyRecord,
    GuidanceRecord,
    MethodParts,
    MethodRecord,
    PosteriorRecord,
    SamplerRecord,
)

if TYPE_CHECKING:
    from pathlib import Path

    from codi_core.guidance import Guidance
    from codi_core.planning import Planner
    from codi_core.policies import BasePolicy, PolicySpec
    from codi_core.posteriors import PosteriorApproximation
    from codi_core.resources import Resources
    from codi_core.samplers import KarrasSchedule, Sampler


@hookimpl
def codi_base_policies() -> Iterator[BasePolicyRecord]:
    """What codi-train trains."""
    yield BasePolicyRecord(
        "diffusion", "a diffusion policy from a checkpoint of codi-train", _diffusion
    )


@hookimpl
def codi_posteriors() -> Iterator[PosteriorRecord]:
    """The paper's posterior, and better ones."""
    yield PosteriorRecord("isotropic", "N(E[a|a_t], t²I), as printed in the paper", _isotropic)
    yield PosteriorRecord("matched", "N(E[a|a_t], t²σ_d²/(t²+σ_d²) I); option sigma_data", _matched)
    yield PosteriorRecord(
        "correlated",
        "as matched, but smooth in time: a search with few samples; option steps",
        _correlated,
    )
    yield PosteriorRecord(
        "jacobian", "N(E[a|a_t], t² ∂D/∂a_t), Eq. 16 in full; option cap", _jacobian
    )
    yield PosteriorRecord(
        "data-covariance", "N(E[a|a_t], (Σ0⁻¹+t⁻²I)⁻¹), Σ0 from base samples", _data_covariance
    )
    yield PosteriorRecord(
        "denoised", "a few further denoising steps for each sample; option steps", _denoised
    )


@hookimpl
def codi_guidances() -> Iterator[GuidanceRecord]:
    """The paper's estimator, others, and none."""
    yield GuidanceRecord("monte-carlo", "the gradient-free estimate of Eq. 14-19", _monte_carlo)
    yield GuidanceRecord(
        "factored", "each agent weighed by the cost terms within `hops` of it", _factored
    )
    yield GuidanceRecord(
        "library", "base samples rolled out once a plan, reused at all noise levels", _library
    )
    yield GuidanceRecord(
        "hybrid", "library above the noise level `switch`, monte-carlo below it", _hybrid
    )
    yield GuidanceRecord(
        "reparameterized", "the gradient of a differentiable cost (footnote 3)", _reparameterized
    )
    yield GuidanceRecord("none", "no guidance: the product policy alone", _no_guidance)


@hookimpl
def codi_samplers() -> Iterator[SamplerRecord]:
    """The integrators of Eq. 11."""
    yield SamplerRecord("ancestral", "ancestral sampling, as DDPM does", _ancestral)
    yield SamplerRecord("euler-maruyama", "Euler-Maruyama steps of Eq. 11", _euler_maruyama)
    yield SamplerRecord(
        "warm-start", "from the previous plan, re-noised, in fewer steps", _warm_start
    )


@hookimpl
def codi_methods() -> Iterator[MethodRecord]:
    """The paper's method, the product policy alone, and methods without guidance."""
    yield MethodRecord("codi", "Coordinated Diffusion: the guided product policy", _codi)
    yield MethodRecord("base", "the base policies side by side, without guidance", _base)
    yield MethodRecord("best-of", "the cheapest of M samples of the base policies", _best_of)
    yield MethodRecord(
        "resampling", "M particles resampled by their cost on the way (Feynman-Kac)", _resampling
    )


def _diffusion(spec: PolicySpec, checkpoint: Path | None, resources: Resources) -> BasePolicy:
    from codi_core.errors import CheckpointError
    from codi_core.training.checkpoint import load_checkpoint

    if checkpoint is None:
        raise CheckpointError(
            "none is shipped for these base policies: train one with codi-train and give it as "
            "--checkpoint PATH"
        )
    return load_checkpoint(checkpoint, spec)


def _isotropic() -> PosteriorApproximation:
    from codi_core.posteriors import IsotropicPosterior

    return IsotropicPosterior()


def _matched(sigma_data: float = 1.0) -> PosteriorApproximation:
    from codi_core.posteriors import MatchedPosterior

    return MatchedPosterior(sigma_data)


def _correlated(steps: float = 6.0, sigma_data: float = 1.0) -> PosteriorApproximation:
    from codi_core.posteriors import CorrelatedPosterior

    return CorrelatedPosterior(steps, sigma_data)


def _jacobian(cap: float | None = None) -> PosteriorApproximation:
    from codi_core.posteriors import JacobianPosterior

    return JacobianPosterior(cap)


def _data_covariance(estimate_from: int = 64, steps: int = 8) -> PosteriorApproximation:
    from codi_core.posteriors import DataCovariancePosterior

    return DataCovariancePosterior(None, estimate_from, steps)


def _denoised(steps: int = 4) -> PosteriorApproximation:
    from codi_core.posteriors import DenoisedPosterior

    return DenoisedPosterior(steps)


def _monte_carlo(
    posterior: PosteriorApproximation, samples: int, temperature: float, ess: float = 0.0
) -> Guidance:
    from codi_core.guidance import MonteCarloGuidance

    return MonteCarloGuidance(posterior, samples, temperature, ess)


def _factored(
    posterior: PosteriorApproximation,
    samples: int,
    temperature: float,
    hops: int = 0,
    ess: float = 0.0,
) -> Guidance:
    from codi_core.guidance import FactoredGuidance

    return FactoredGuidance(posterior, samples, temperature, hops, ess)


def _library(
    posterior: PosteriorApproximation,
    samples: int,
    temperature: float,
    steps: int = 8,
    ess: float = 0.0,
) -> Guidance:
    from codi_core.guidance import LibraryGuidance

    return LibraryGuidance(samples, temperature, steps, ess)


def _hybrid(
    posterior: PosteriorApproximation,
    samples: int,
    temperature: float,
    switch: float = 0.5,
    steps: int = 8,
    ess: float = 0.0,
    library: int | None = None,
) -> Guidance:
    from codi_core.guidance import HybridGuidance, LibraryGuidance, MonteCarloGuidance

    return HybridGuidance(
        LibraryGuidance(samples if library is None else library, temperature, steps, ess),
        MonteCarloGuidance(posterior, samples, temperature, ess),
        switch,
    )


def _reparameterized(
    posterior: PosteriorApproximation, samples: int, temperature: float, ess: float = 0.0
) -> Guidance:
    from codi_core.guidance import ReparameterizedGuidance

    return ReparameterizedGuidance(posterior, samples, temperature, ess)


def _no_guidance(posterior: PosteriorApproximation, samples: int, temperature: float) -> Guidance:
    from codi_core.guidance import NoGuidance

    return NoGuidance()


def _ancestral(schedule: KarrasSchedule) -> Sampler:
    from codi_core.samplers import AncestralSampler

    return AncestralSampler(schedule)


def _euler_maruyama(schedule: KarrasSchedule) -> Sampler:
    from codi_core.samplers import EulerMaruyamaSampler

    return EulerMaruyamaSampler(schedule)


def _warm_start(
    schedule: KarrasSchedule, sigma_warm: float = 5.0, steps: int = 8, cold: float = 0.1
) -> Sampler:
    from codi_core.samplers import AncestralSampler, WarmStartSampler

    return WarmStartSampler(AncestralSampler(schedule), sigma_warm, steps, cold)


def _codi(parts: MethodParts) -> Planner:
    from codi_core.composition import CoordinatedPolicy

    return CoordinatedPolicy(
        parts.product, parts.guidance, parts.sampler, parts.predictor, parts.cost
    )


def _base(parts: MethodParts) -> Planner:
    from codi_core.composition import CoordinatedPolicy
    from codi_core.guidance import NoGuidance

    return CoordinatedPolicy(
        parts.product, NoGuidance(), parts.sampler, parts.predictor, parts.cost
    )


def _best_of(parts: MethodParts) -> Planner:
    from codi_core.composition import BestOf

    return BestOf(parts.product, parts.sampler, parts.predictor, parts.cost, parts.samples)


def _resampling(parts: MethodParts, share: float = 0.5) -> Planner:
    from codi_core.composition import Resampling

    return Resampling(
        parts.product,
        parts.sampler.schedule,
        parts.predictor,
        parts.cost,
        parts.samples,
        parts.temperature,
        share,
    )
