"""Builds costs and planners from registered parts, chosen by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from torch import nn

from codi_core.costs import CostFunction, CostTerm, WeightedCost
from codi_core.errors import PluginError, SpecificationError, UsageError
from codi_core.host.choices import Choice, make_part
from codi_core.host.plugins import Host
from codi_core.host.records import MethodParts
from codi_core.host.registry import unknown_name
from codi_core.planning import Planner
from codi_core.policies import ProductPolicy
from codi_core.predictors import Predictor
from codi_core.samplers import KarrasSchedule, Sampler
from codi_core.tasks import PlanSettings, Task, TaskParts


@attrs.frozen
class PlannerChoice:
    """What a planner is built from, by name.

    Attributes:
        method: the planning method.
        posterior: the posterior approximation.
        guidance: the guidance.
        sampler: the sampler.
        predictor: one of the task's predictors.
        settings: λ, M and the schedule.
        checkpoint: the base policies' checkpoint; None stands for the shipped one.
        device: where plans are made.
        physics_threads: threads for a predictor that simulates.
    """

    method: Choice
    posterior: Choice
    guidance: Choice
    sampler: Choice
    predictor: str
    settings: PlanSettings
    checkpoint: Path | None = None
    device: str = "cpu"
    physics_threads: int = 1


def make_task(host: Host, name: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: there is none; the message lists the valid names.
        PluginError: something that it needs is not installed.
    """
    record = host.tasks.get(name)
    task: Task = make_part(record.factory, f"task '{name}' of '{host.tasks.origin(name)}'")
    return task


def make_cost(host: Host, name: str, task: Task, terms: Sequence[Choice]) -> CostFunction:
    """The weighted sum of the chosen cost terms, for the task ``name``."""
    valid = available_costs(host, name, task)
    made = []
    for term in terms:
        if term.name not in valid:
            raise _unknown_cost(host, name, term.name, valid)
        cost = make_part(valid[term.name], f"cost '{term.name}'", options=term.options)
        made.append(CostTerm(term.name, cost, 1.0 if term.weight is None else term.weight))
    return WeightedCost(tuple(made))


def available_costs(host: Host, name: str, task: Task) -> Mapping[str, Callable[..., CostFunction]]:
    """The factories of all costs that suit the task, its own ones first.

    Raises:
        PluginError: a plugin's cost has the name of one of the task's own.
    """
    valid = dict(task.costs())
    for record in host.costs:
        if record.tasks and name not in record.tasks:
            continue
        if record.name in valid:
            raise PluginError(
                f"cost '{record.name}' of '{host.costs.origin(record.name)}' has the name of a "
                f"cost of task '{name}' of '{host.tasks.origin(name)}': rename or uninstall it"
            )
        valid[record.name] = record.factory
    return valid


def _unknown_cost(host: Host, task: str, name: str, valid: Mapping[str, Any]) -> UsageError:
    if name in host.costs:
        meant = ", ".join(host.costs.get(name).tasks)
        return UsageError(f"cost '{name}' is meant for the task {meant}, not for '{task}'")
    return unknown_name("cost", name, valid, host.costs.hint)


def make_predictor(parts: TaskParts, name: str, physics_threads: int = 1) -> Predictor:
    """One of the task's predictors."""
    if name not in parts.predictors:
        raise unknown_name("predictor", name, parts.predictors)
    predictor: Predictor = make_part(parts.predictors[name], f"predictor '{name}'", physics_threads)
    return predictor


def make_planner(
    host: Host, choice: PlannerChoice, parts: TaskParts, cost: CostFunction
) -> tuple[Planner, ProductPolicy]:
    """The planner, and the product policy that it builds on.

    Raises:
        UsageError: a name or an option that doesn't exist.
        SpecificationError: parts that don't fit together.
    """
    # Names are checked before checkpoints are read: a typo is reported at once.
    method = host.methods.get(choice.method.name)
    sampler, guidance = _sampler(host, choice), _guidance(host, choice)
    predictor = make_predictor(parts, choice.predictor, choice.physics_threads)
    product = ProductPolicy(parts.factors(choice.checkpoint))
    _check_rate(product, parts)
    for module in (*(factor.policy for factor in product.factors), predictor, cost):
        if isinstance(module, nn.Module):
            module.to(choice.device)
        normaliser = getattr(module, "normaliser", None)
        if isinstance(normaliser, nn.Module):
            normaliser.to(choice.device)
    made = MethodParts(
        product,
        predictor,
        cost,
        guidance,
        sampler,
        choice.settings.samples,
        choice.settings.temperature,
    )
    planner: Planner = make_part(
        method.factory, f"method '{method.name}'", made, options=choice.method.options
    )
    return planner, product


def _sampler(host: Host, choice: PlannerChoice) -> Sampler:
    settings = choice.settings
    schedule = KarrasSchedule(settings.steps, settings.sigma_max, settings.sigma_min, settings.rho)
    sampler: Sampler = make_part(
        host.samplers.get(choice.sampler.name).factory,
        f"sampler '{choice.sampler.name}'",
        options=choice.sampler.options,
        schedule=schedule,
    )
    return sampler


def _guidance(host: Host, choice: PlannerChoice) -> Any:
    posterior = make_part(
        host.posteriors.get(choice.posterior.name).factory,
        f"posterior '{choice.posterior.name}'",
        options=choice.posterior.options,
    )
    return make_part(
        host.guidances.get(choice.guidance.name).factory,
        f"guidance '{choice.guidance.name}'",
        options=choice.guidance.options,
        posterior=posterior,
        samples=choice.settings.samples,
        temperature=choice.settings.temperature,
    )


def _check_rate(product: ProductPolicy, parts: TaskParts) -> None:
    if product.action.rate_hz != parts.rate_hz:
        raise SpecificationError(
            f"the base policies act at {product.action.rate_hz:g} Hz, the task at "
            f"{parts.rate_hz:g} Hz: use a checkpoint that was trained for this task"
        )
