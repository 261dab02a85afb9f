"""The built-in plugin: codi_core's own parts register through everybody's hooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from codi_core.host.hookspecs import hookimpl
from codi_core.host.records import (
    CommandRecord,
    GuidanceRecord,
    Main,
    MethodParts,
    MethodRecord,
    PosteriorRecord,
    SamplerRecord,
)

if TYPE_CHECKING:
    from codi_core.guidance import Guidance
    from codi_core.planning import Planner
    from codi_core.posteriors import PosteriorApproximation
    from codi_core.samplers import KarrasSchedule, Sampler


@hookimpl
def codi_posteriors() -> Iterator[PosteriorRecord]:
    """The Gaussian posteriors with isotropic covariance."""
    yield PosteriorRecord("isotropic", "N(E[a|a_t], t²I), as printed in the paper", _isotropic)
    yield PosteriorRecord(
        "matched", "N(E[a|a_t], t²σ_d²/(t²+σ_d²) I); option sigma_data", _matched
    )


@hookimpl
def codi_guidances() -> Iterator[GuidanceRecord]:
    """The paper's estimator, and none."""
    yield GuidanceRecord("monte-carlo", "the gradient-free estimate of Eq. 14-19", _monte_carlo)
    yield GuidanceRecord("none", "no guidance: the product policy alone", _no_guidance)


@hookimpl
def codi_samplers() -> Iterator[SamplerRecord]:
    """The integrators of Eq. 11."""
    yield SamplerRecord("ancestral", "ancestral sampling, as DDPM does", _ancestral)
    yield SamplerRecord("euler-maruyama", "Euler-Maruyama steps of Eq. 11", _euler_maruyama)


@hookimpl
def codi_methods() -> Iterator[MethodRecord]:
    """The paper's method, and the product policy alone."""
    yield MethodRecord("codi", "Coordinated Diffusion: the guided product policy", _codi)
    yield MethodRecord("base", "the base policies side by side, without guidance", _base)


@hookimpl
def codi_commands() -> Iterator[CommandRecord]:
    """The commands of codi_core."""
    yield CommandRecord("run", "run a task in closed loop and measure it", _run_command)
    yield CommandRecord("collect", "collect demonstrations for a task", _collect_command)
    yield CommandRecord("train", "train a base policy on demonstrations", _train_command)
    yield CommandRecord("plugins", "list installed plugins", _plugins_command)


def _isotropic() -> PosteriorApproximation:
    from codi_core.posteriors import IsotropicPosterior

    return IsotropicPosterior()


def _matched(sigma_data: float = 1.0) -> PosteriorApproximation:
    from codi_core.posteriors import MatchedPosterior

    return MatchedPosterior(sigma_data)


def _monte_carlo(
    posterior: PosteriorApproximation, samples: int, temperature: float
) -> Guidance:
    from codi_core.guidance import MonteCarloGuidance

    return MonteCarloGuidance(posterior, samples, temperature)


def _no_guidance(
    posterior: PosteriorApproximation, samples: int, temperature: float
) -> Guidance:
    from codi_core.guidance import NoGuidance

    return NoGuidance()


def _ancestral(schedule: KarrasSchedule) -> Sampler:
    from codi_core.samplers import AncestralSampler

    return AncestralSampler(schedule)


def _euler_maruyama(schedule: KarrasSchedule) -> Sampler:
    from codi_core.samplers import EulerMaruyamaSampler

    return EulerMaruyamaSampler(schedule)


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


def _run_command() -> Main:
    from codi_core.cli.run import main

    return main


def _collect_command() -> Main:
    from codi_core.cli.collect import main

    return main


def _train_command() -> Main:
    from codi_core.cli.train import main

    return main


def _plugins_command() -> Main:
    from codi_core.cli.plugins import main

    return main
