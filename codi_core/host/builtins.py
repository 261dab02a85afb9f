"""The built-in plugin: codi_core's own parts register through everybody's hooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from codi_core.host.hookspecs import hookimpl
from codi_core.host.late_class import LateClass, LatePlanner
from codi_core.host.records import (
    BasePolicyRecord,
    GuidanceRecord,
    MethodRecord,
    PosteriorRecord,
    SamplerRecord,
)

if TYPE_CHECKING:
    from pathlib import Path

    from codi_core.policies import BasePolicy, PolicySpec
    from codi_core.resources import Resources


@hookimpl
def codi_base_policies() -> Iterator[BasePolicyRecord]:
    """What codi-train trains."""
    yield BasePolicyRecord(
        "diffusion", "a diffusion policy from a checkpoint of codi-train", _diffusion
    )


@hookimpl
def codi_posteriors() -> Iterator[PosteriorRecord]:
    """The paper's posterior, and better ones."""
    yield PosteriorRecord(
        "isotropic",
        "N(E[a|a_t], t²I), as printed in the paper",
        LateClass("codi_core.posteriors:IsotropicPosterior"),
    )
    yield PosteriorRecord(
        "matched",
        "N(E[a|a_t], t²σ_d²/(t²+σ_d²) I); option sigma_data",
        LateClass("codi_core.posteriors:MatchedPosterior"),
    )
    yield PosteriorRecord(
        "correlated",
        "as matched, but smooth in time: a search with few samples; option steps",
        LateClass("codi_core.posteriors:CorrelatedPosterior"),
    )
    yield PosteriorRecord(
        "jacobian",
        "N(E[a|a_t], t² ∂D/∂a_t), Eq. 16 in full; option cap",
        LateClass("codi_core.posteriors:JacobianPosterior"),
    )
    yield PosteriorRecord(
        "data-covariance",
        "N(E[a|a_t], (Σ0⁻¹+t⁻²I)⁻¹), Σ0 from base samples",
        LateClass("codi_core.posteriors:DataCovariancePosterior", covariance=None),
    )
    yield PosteriorRecord(
        "denoised",
        "a few further denoising steps for each sample; option steps",
        LateClass("codi_core.posteriors:DenoisedPosterior"),
    )


@hookimpl
def codi_guidances() -> Iterator[GuidanceRecord]:
    """The paper's estimator, and others; without guidance there is the method ``base``."""
    yield GuidanceRecord(
        "monte-carlo", "the gradient-free estimate of Eq. 14-19", _guidance("MonteCarloGuidance")
    )
    yield GuidanceRecord(
        "factored",
        "each agent weighed by the cost terms within `hops` of it",
        _guidance("FactoredGuidance"),
    )
    yield GuidanceRecord(
        "library",
        "base samples rolled out once a plan, reused at all noise levels",
        _guidance("LibraryGuidance"),
    )
    yield GuidanceRecord(
        "hybrid",
        "library above the noise level `switch`, monte-carlo below it",
        _guidance("coarse_to_fine"),
    )
    yield GuidanceRecord(
        "reparameterized",
        "the gradient of a differentiable cost (footnote 3)",
        _guidance("ReparameterizedGuidance"),
    )


@hookimpl
def codi_samplers() -> Iterator[SamplerRecord]:
    """The integrators of Eq. 11."""
    yield SamplerRecord(
        "ancestral", "ancestral sampling, as DDPM does", _sampler("AncestralSampler")
    )
    yield SamplerRecord(
        "euler-maruyama", "Euler-Maruyama steps of Eq. 11", _sampler("EulerMaruyamaSampler")
    )
    yield SamplerRecord(
        "warm-start",
        "from the previous plan, re-noised, in fewer steps",
        _sampler("WarmStartSampler", first=_sampler("AncestralSampler")),
    )


@hookimpl
def codi_methods() -> Iterator[MethodRecord]:
    """The paper's method, the product policy alone, and methods without guidance."""
    yield MethodRecord(
        "codi",
        "Coordinated Diffusion: the guided product policy",
        LatePlanner("codi_core.composition:CoordinatedPolicy"),
    )
    yield MethodRecord(
        "base",
        "the base policies side by side, without guidance",
        LatePlanner(
            "codi_core.composition:CoordinatedPolicy",
            guidance=LateClass("codi_core.guidance:NoGuidance"),
        ),
    )
    yield MethodRecord(
        "best-of",
        "the cheapest of M samples of the base policies",
        LatePlanner("codi_core.composition:BestOf"),
    )
    yield MethodRecord(
        "resampling",
        "M particles resampled by their cost on the way (Feynman-Kac)",
        LatePlanner("codi_core.composition:Resampling"),
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


def _guidance(name: str) -> LateClass:
    return LateClass(f"codi_core.guidance:{name}", "posterior", "samples", "temperature")


def _sampler(name: str, **given: LateClass) -> LateClass:
    return LateClass(f"codi_core.samplers:{name}", "schedule", **given)
