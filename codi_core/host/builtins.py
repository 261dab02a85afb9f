"""The built-in plugin: codi_core's own parts register through everybody's hooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from codi_core.host.hookspecs import hookimpl
from codi_core.host.late_class import ByName, ByPath, LateClass, LatePlanner
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

SEARCH = {"samples": 32, "posterior": "correlated"}
"""The plan settings of ``search`` in every task: its guidance mends what selection has found, and
samples that are smooth in time take the fewest."""


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
        LateClass(
            "codi_core.posteriors:DataCovariancePosterior", covariance=None, sampler=_any_steps()
        ),
    )
    yield PosteriorRecord(
        "denoised",
        "a few further denoising steps for each sample; option steps",
        LateClass("codi_core.posteriors:DenoisedPosterior", sampler=_noisy_steps()),
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
        _guidance("LibraryGuidance", sampler=_any_steps()),
    )
    yield GuidanceRecord(
        "hybrid",
        "library above the noise level `switch`, monte-carlo below it",
        _guidance("coarse_to_fine", sampler=_any_steps()),
    )
    yield GuidanceRecord(
        "reparameterized",
        "the gradient of a differentiable cost (footnote 3)",
        _guidance("ReparameterizedGuidance"),
    )


@hookimpl
def codi_samplers() -> Iterator[SamplerRecord]:
    """The integrators of Eq. 11, and of the ODE with the same marginals."""
    made = _integrators("schedule")
    yield SamplerRecord("ancestral", "ancestral sampling, as DDPM does", made["ancestral"])
    yield SamplerRecord(
        "calibrated",
        "ancestral, with the reverse variance of Gaussian data; option sigma_data",
        made["calibrated"],
    )
    yield SamplerRecord("euler-maruyama", "Euler-Maruyama steps of Eq. 11", made["euler-maruyama"])
    yield SamplerRecord(
        "heun", "Heun steps of the ODE, two calls each: to check others with", made["heun"]
    )
    yield SamplerRecord(
        "dpm-solver",
        "DPM-Solver++ 2M: the ODE in few calls; option eta adds noise",
        made["dpm-solver"],
    )
    yield SamplerRecord("dpm-solver-sde", "the SDE form of dpm-solver", made["dpm-solver-sde"])
    yield SamplerRecord(
        "warm-start",
        "from the previous plan, re-noised, in fewer steps; option first: whose steps",
        LateClass("codi_core.samplers:WarmStartSampler", "schedule", first=_any_steps("schedule")),
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
        "the cheapest of M samples of the base policies; option student",
        LatePlanner("codi_core.composition:BestOf", student=_student("none")),
    )
    yield MethodRecord(
        "resampling",
        "M particles resampled by their cost on the way (Feynman-Kac)",
        LatePlanner("codi_core.composition:Resampling", sampler=_noisy_steps()),
    )
    yield MethodRecord(
        "search",
        "selects among cheap base samples agent by agent, then guides from there",
        LatePlanner(
            "codi_core.composition:Search",
            sampler=_any_steps(default="dpm-solver"),
            student=_student("shipped"),
        ),
        settings=SEARCH,
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


def _guidance(name: str, **given: ByName) -> LateClass:
    return LateClass(f"codi_core.guidance:{name}", "posterior", "samples", "temperature", **given)


def _integrators(*passed: str) -> dict[str, LateClass]:
    """The samplers whose steps other parts can take."""

    def made(name: str, **given: float) -> LateClass:
        return LateClass(f"codi_core.samplers:{name}", *passed, **given)

    return {
        "ancestral": made("AncestralSampler"),
        "calibrated": made("CalibratedSampler"),
        "euler-maruyama": made("EulerMaruyamaSampler"),
        "heun": made("HeunSampler"),
        "dpm-solver": made("DpmSolverSampler"),
        "dpm-solver-sde": made("DpmSolverSampler", eta=1.0),
    }


def _any_steps(*passed: str, default: str = "ancestral") -> ByName:
    """An option for the sampler whose steps a part takes."""
    return ByName("sampler", _integrators(*passed), default)


def _student(default: str) -> ByPath:
    """An option for the student that draws base samples."""
    return ByPath("codi_core.training.students:students_of", ("product", "students"), default)


def _noisy_steps() -> ByName:
    """The same for a part that needs steps that add noise."""
    deterministic = ("heun", "dpm-solver")
    noisy = {name: made for name, made in _integrators().items() if name not in deterministic}
    return ByName("sampler that adds noise", noisy, "ancestral")
