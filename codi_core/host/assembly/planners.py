"""The planner: everything that plans, put together."""

from __future__ import annotations

from pathlib import Path

import attrs

from codi_core.costs import CostFunction
from codi_core.errors import SpecificationError
from codi_core.guidance import Guidance
from codi_core.host.assembly.open_task import OpenTask
from codi_core.host.assembly.placement import place, with_parts
from codi_core.host.assembly.policies import make_factors, shipped_students
from codi_core.host.assembly.worlds import make_predictor
from codi_core.host.choices import Choice, check_attribute, make_part
from codi_core.host.plugins import Host
from codi_core.host.records import MethodParts, PlannedFor
from codi_core.planning import ChunkLayout, Planner
from codi_core.policies import ProductPolicy
from codi_core.posteriors import PosteriorApproximation
from codi_core.resources import PRECISIONS, Resources
from codi_core.samplers import KarrasSchedule, Sampler, Schedule
from codi_core.tasks import PlanSettings, TaskParts


@attrs.frozen
class PlannerChoice:
    """What a planner is built from, by name.

    Attributes:
        method: the planning method.
        policy: the base policies, one of the task's offers or a registered kind.
        posterior: the posterior approximation.
        guidance: the guidance.
        sampler: the sampler.
        predictor: one of the task's predictors, or a registered one.
        settings: λ, M and the schedule.
        planned_for: what plans are made for.
        checkpoint: the base policies' checkpoint; None stands for the shipped one.
        resources: what the parts are made with.
        precision: in which the base policies are evaluated, one of
            :data:`codi_core.resources.PRECISIONS`.
    """

    method: Choice
    policy: Choice
    posterior: Choice
    guidance: Choice
    sampler: Choice
    predictor: Choice
    settings: PlanSettings
    planned_for: PlannedFor
    checkpoint: Path | None = None
    resources: Resources = attrs.field(factory=Resources)
    precision: str = PRECISIONS[0]


def make_planner(opened: OpenTask, choice: PlannerChoice, cost: CostFunction) -> Planner:
    """The planner that the choice describes.

    Raises:
        UsageError: a name or an option that doesn't exist.
        SpecificationError: parts that don't fit together.
    """
    # Names are checked before checkpoints are read: a typo is reported at once.
    host, resources = opened.host, choice.resources
    method = host.methods.get(choice.method.name)
    sampler, guidance = _sampler(host, choice), _guidance(host, choice)
    predictor = make_predictor(opened, choice.predictor, resources)
    factors = make_factors(opened, choice.policy, choice.checkpoint, resources)
    students = shipped_students(opened, choice.policy)
    product = ProductPolicy(factors, choice.precision)
    _check_fit(product, opened.parts)
    for part in with_parts((guidance, sampler)):
        place(part, resources)
    made = MethodParts(
        product,
        predictor,
        cost,
        guidance,
        sampler,
        choice.settings.samples,
        choice.settings.temperature,
        opened.parts.hold,
        choice.planned_for,
        students,
    )
    what = f"method '{method.name}'"
    options = choice.method.options
    planner: Planner = make_part(method.factory, what, made, kind=Planner, options=options)
    check_attribute(planner, "layout", ChunkLayout, what)
    return planner


def _sampler(host: Host, choice: PlannerChoice) -> Sampler:
    settings = choice.settings
    schedule = KarrasSchedule(settings.steps, settings.sigma_max, settings.sigma_min, settings.rho)
    what = f"sampler '{choice.sampler.name}'"
    sampler: Sampler = make_part(
        host.samplers.get(choice.sampler.name).factory,
        what,
        kind=Sampler,
        options=choice.sampler.options,
        schedule=schedule,
    )
    check_attribute(sampler, "schedule", Schedule, what)
    return sampler


def _guidance(host: Host, choice: PlannerChoice) -> Guidance:
    posterior: PosteriorApproximation = make_part(
        host.posteriors.get(choice.posterior.name).factory,
        f"posterior '{choice.posterior.name}'",
        kind=PosteriorApproximation,
        options=choice.posterior.options,
    )
    guidance: Guidance = make_part(
        host.guidances.get(choice.guidance.name).factory,
        f"guidance '{choice.guidance.name}'",
        kind=Guidance,
        options=choice.guidance.options,
        posterior=posterior,
        samples=choice.settings.samples,
        temperature=choice.settings.temperature,
    )
    return guidance


def _check_fit(product: ProductPolicy, parts: TaskParts) -> None:
    """Check that the base policies act for the task's agents, at its rate."""
    if product.agents != len(parts.agents):
        raise SpecificationError(
            f"the base policies act for {product.agents} agents, the task has "
            f"{len(parts.agents)} ({', '.join(parts.agents)}): its offer of policies must cover all"
        )
    if product.action.rate_hz != parts.rate_hz:
        raise SpecificationError(
            f"the base policies act at {product.action.rate_hz:g} Hz, the task at "
            f"{parts.rate_hz:g} Hz: use a checkpoint that was trained for this task"
        )
