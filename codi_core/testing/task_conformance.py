"""Checks that a task's parts fit together: one call in a plugin author's tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from codi_core.composition import CoordinatedPolicy
from codi_core.costs import CostFunction, CostTerm, WeightedCost
from codi_core.guidance import MonteCarloGuidance
from codi_core.host.assembly import (
    OpenTask,
    make_environment,
    make_factors,
    make_predictor,
    make_task,
)
from codi_core.host.choices import Choice
from codi_core.host.plugins import Host, load_plugins
from codi_core.planning import NoiseSource, Observation, Plan, PlanContext
from codi_core.policies import Factor, ProductPolicy
from codi_core.posteriors import IsotropicPosterior
from codi_core.predictors import Predictor
from codi_core.resources import Resources
from codi_core.samplers import AncestralSampler, KarrasSchedule
from codi_core.tasks import Environment, EpisodeKey, Step, Task, TaskParts
from codi_core.testing.conformance import require

KEYS = (EpisodeKey(0, 0), EpisodeKey(0, 1))


def check_task(
    task: Task,
    options: Any = None,
    factors: tuple[Factor, ...] | None = None,
    steps: int = 2,
) -> None:
    """Plan and act once in two worlds, and check what each part hands to the next.

    Args:
        task: the task.
        options: an instance of ``task.Options``; its defaults are taken if there is none.
        factors: used instead of the shipped ones, for tasks that need a checkpoint.
        steps: how many control steps are taken.
    """
    name = type(task).__name__
    require(attrs.has(task.Options), f"{name}.Options must be an attrs class, not {task.Options}")
    options = task.Options() if options is None else options
    parts = task.parts(options)
    require(
        isinstance(parts, TaskParts),
        f"{name}.parts() returned a {type(parts).__name__}, not TaskParts",
    )
    cost = _check_costs(name, task, parts)
    require(parts.predictors, f"{name} has no predictor: its parts need at least one")
    host = load_plugins(warn=lambda message: None)
    opened = OpenTask(host, _registered_name(host, task), task, options, parts)
    environment = make_environment(opened, None, Resources())
    first = environment.reset(KEYS)
    _check_step(name, first, 0.0)
    again = environment.reset(KEYS)
    require(
        _equal(first.observation, again.observation),
        f"{name}: two resets with the same keys observe different things: all that is random must "
        "derive from the episodes' keys",
    )
    offer = Choice(next(iter(parts.policies)))
    product = ProductPolicy(factors or make_factors(opened, offer, None, Resources()))
    _check_product(name, product, parts)
    for predictor in parts.predictors:
        made = make_predictor(opened, Choice(predictor), Resources())
        plan = _check_plan(name, product, made, cost, again)
    _check_acting(name, environment, plan, parts, steps)


def _registered_name(host: Host, task: Task) -> str:
    """Under which the task is registered; its class's name if it isn't."""
    for record in host.tasks:
        if type(make_task(host, record.name)) is type(task):
            return record.name
    return type(task).__name__


def _check_costs(name: str, task: Task, parts: TaskParts) -> CostFunction:
    costs = task.costs()
    for term in parts.default_costs:
        require(
            term in costs,
            f"{name}: default_costs names '{term}', which costs() lacks; it has {sorted(costs)}",
        )
    for term, factory in costs.items():
        made = factory()
        require(
            isinstance(made, CostFunction),
            f"{name}: the factory of cost '{term}' made a {type(made).__name__}, "
            "not a CostFunction",
        )
    terms = [CostTerm(term, costs[term](), weight) for term, weight in parts.default_costs.items()]
    return WeightedCost(tuple(terms))


def _check_step(name: str, step: Step, time: float) -> None:
    require(
        abs(step.time - time) < 1e-6,
        f"{name}: the environment's time is {step.time} s where {time} s have passed",
    )
    for key, value in step.observation.items():
        require(
            value.shape[:1] == (len(KEYS),),
            f"{name}: the observation '{key}' has the shape {tuple(value.shape)}; it must begin "
            f"with the {len(KEYS)} worlds",
        )
        require(torch.isfinite(value).all(), f"{name}: the observation '{key}' is not finite")
    for key, event in step.events.items():
        require(
            np.shape(event)[:1] == (len(KEYS),),
            f"{name}: the event '{key}' has the shape {np.shape(event)}; it must begin with the "
            f"{len(KEYS)} worlds",
        )


def _check_product(name: str, product: ProductPolicy, parts: TaskParts) -> None:
    require(
        product.agents == len(parts.agents),
        f"{name} names {len(parts.agents)} agents, its factors cover {product.agents}",
    )
    require(
        product.action.rate_hz == parts.rate_hz,
        f"{name}: the factors act at {product.action.rate_hz} Hz, the task at {parts.rate_hz} Hz",
    )


def _check_plan(
    name: str, product: ProductPolicy, predictor: Predictor, cost: CostFunction, step: Step
) -> Plan:
    guidance = MonteCarloGuidance(IsotropicPosterior(), 4, 1.0)
    low, high = product.sigma_range
    sampler = AncestralSampler(KarrasSchedule(2, min(high, 10.0), max(low, 0.05)))
    keys = [(key.seed, key.episode, 0) for key in KEYS]
    history = max(factor.policy.spec.history for factor in product.factors)
    observation: Observation = {
        key: value.unsqueeze(1).repeat_interleave(history, 1)
        for key, value in step.observation.items()
    }
    context = PlanContext(NoiseSource(keys), observation, product.layout, step.state)
    plan = CoordinatedPolicy(product, guidance, sampler, predictor, cost).plan(context)
    lost = plan.diagnostics.counts["nan_costs"]
    predicted = f"{name} with {type(predictor).__name__}"
    require(lost == 0, f"{predicted}: {lost} of the costs of a first plan are NaN")
    for agent, chunk in enumerate(plan.chunks):
        require(torch.isfinite(chunk).all(), f"{predicted}: agent {agent}'s chunk is not finite")
    return plan


def _check_acting(
    name: str, environment: Environment, plan: Plan, parts: TaskParts, steps: int
) -> None:
    now = environment.reset(KEYS)
    events = [_copies(now.events)]
    for index in range(steps):
        now = environment.step(tuple(chunk[:, index] for chunk in plan.chunks))
        _check_step(name, now, (index + 1) / parts.rate_hz)
        events.append(_copies(now.events))
    one = {key: np.stack([event[key][0] for event in events]) for key in events[0]}
    record = parts.metrics.episode(one, 1 / parts.rate_hz)
    for key in ("success", "completion_time_s"):
        require(key in record, f"{name}: the metrics' record of an episode lacks '{key}'")
    parts.metrics.summary([record])


def _copies(events: Mapping[str, Any]) -> dict[str, Any]:
    return {key: np.array(value) for key, value in events.items()}


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )
