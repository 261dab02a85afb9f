"""Checks that a task's parts fit together: one call in a plugin author's tests."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from codi_core.composition import CoordinatedPolicy
from codi_core.costs import CostFunction, CostTerm, WeightedCost
from codi_core.execution.devices import to_device
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
from codi_core.tasks import Environment, Step, Task, TaskParts
from codi_core.testing.environment_conformance import KEYS, Actions, check_environment
from codi_core.testing.predictor_conformance import check_predictor
from codi_core.testing.requirement import require


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
    for field in attrs.fields(task.CollectionOptions):
        require(
            field.name in attrs.fields_dict(task.Options),
            f"{name}.CollectionOptions has '{field.name}', which {name}.Options lacks",
        )
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
    step = environment.reset(KEYS)
    offer = Choice(next(iter(parts.policies)))
    product = ProductPolicy(factors or make_factors(opened, offer, None, Resources()))
    _check_product(name, product, parts)
    for predictor in parts.predictors:
        made = make_predictor(opened, Choice(predictor), Resources())
        plan = _check_plan(name, product, made, cost, step)
        chunks = tuple(_spread(chunk) for chunk in plan.chunks)
        state = environment.reset(KEYS).state
        check_predictor(made, state, chunks, {term.name: term.cost for term in cost.terms})
        _check_states(name, environment, made, cost, chunks)
    actions = [tuple(chunk[:, index] for chunk in plan.chunks) for index in range(steps)]
    check_environment(lambda: make_environment(opened, None, Resources()), actions, parts.rate_hz)
    _check_metrics(name, environment, actions, parts)


def _registered_name(host: Host, task: Task) -> str:
    """Under which the task is registered; its class's name if it isn't."""
    for record in host.tasks:
        if type(make_task(host, record.name)) is type(task):
            return record.name
    return type(task).__name__


def _check_costs(name: str, task: Task, parts: TaskParts) -> WeightedCost:
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


def _check_states(
    name: str,
    environment: Environment,
    predictor: Predictor,
    cost: CostFunction,
    chunks: tuple[Tensor, ...],
) -> None:
    """Check that a state is all that a prediction needs, wherever it goes and whoever is beside it.

    What worlds ask for may differ in a batch: each is judged as it would be alone.
    """

    def judged(state: Any, rows: slice = slice(None)) -> Tensor:
        prediction = predictor.predict(state, tuple(chunk[rows] for chunk in chunks))
        return cost(prediction.trajectory)

    predicted = f"{name} with {type(predictor).__name__}"
    state = environment.reset(KEYS).state
    costs = judged(state)
    sent, moved = pickle.loads(pickle.dumps(state)), to_device(state, "cpu")
    require(_same(judged(sent), costs), f"{predicted}: a state that was pickled predicts otherwise")
    require(_same(judged(moved), costs), f"{predicted}: a state that was moved predicts otherwise")
    for row, key in enumerate(KEYS):
        one = slice(row, row + 1)
        alone = judged(environment.reset([key]).state, one)
        require(
            _same(alone, costs[one]),
            f"{predicted}: a world alone costs another thing than in a batch: what it asks for "
            "must be in its state",
        )


def _spread(chunk: Tensor) -> Tensor:
    """Three samples around a chunk (B, K, A), (B, 3, K, A)."""
    return chunk.unsqueeze(1) * torch.tensor([0.5, 1.0, 1.5]).view(3, 1, 1)


def _same(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-3, atol=1e-4, equal_nan=True)


def _check_metrics(name: str, environment: Environment, actions: Actions, parts: TaskParts) -> None:
    events = [_copies(environment.reset(KEYS).events)]
    events += [_copies(environment.step(action).events) for action in actions]
    one = {key: np.stack([event[key][0] for event in events]) for key in events[0]}
    record = parts.metrics.episode(one, 1 / parts.rate_hz)
    for key in ("success", "completion_time_s"):
        require(key in record, f"{name}: the metrics' record of an episode lacks '{key}'")
    parts.metrics.summary([record])


def _copies(events: Mapping[str, Any]) -> dict[str, Any]:
    return {key: np.array(value) for key, value in events.items()}
