"""Makes a task's parts and planners from registered parts, chosen by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from torch import nn

from codi_core.costs import CostFunction, CostTerm, WeightedCost
from codi_core.errors import CheckpointError, PluginError, SpecificationError, UsageError
from codi_core.host.choices import Choice, make_part
from codi_core.host.plugins import Host
from codi_core.host.records import BasePolicyRecord, ForTasks, MethodParts
from codi_core.host.registry import Registry, unknown_name
from codi_core.planning import Planner
from codi_core.policies import BasePolicy, Factor, PolicySpec, ProductPolicy
from codi_core.predictors import Predictor
from codi_core.resources import Resources
from codi_core.samplers import KarrasSchedule, Sampler
from codi_core.tasks import Environment, PlanSettings, Plant, PolicyOffer, Task, TaskParts


@attrs.frozen(eq=False)
class OpenTask:
    """An installed task, made for one set of its own options.

    Attributes:
        host: what is registered.
        name: the name that the task is registered under.
        task: the task.
        options: an instance of its ``Options``.
        parts: its parts for these options.
    """

    host: Host
    name: str
    task: Task
    options: Any
    parts: TaskParts


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
        checkpoint: the base policies' checkpoint; None stands for the shipped one.
        resources: what the parts are made with.
    """

    method: Choice
    policy: Choice
    posterior: Choice
    guidance: Choice
    sampler: Choice
    predictor: Choice
    settings: PlanSettings
    checkpoint: Path | None = None
    resources: Resources = attrs.field(factory=Resources)


def make_task(host: Host, name: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: there is none; the message lists the valid names.
        PluginError: something that it needs is not installed.
    """
    record = host.tasks.get(name)
    task: Task = make_part(record.factory, f"task '{name}' of '{host.tasks.origin(name)}'")
    return task


# -- costs ----------------------------------------------------------------------------------------


def make_cost(host: Host, name: str, task: Task, terms: Sequence[Choice]) -> WeightedCost:
    """The weighted sum of the chosen cost terms, for the task ``name``."""
    valid = available_costs(host, name, task)
    made = []
    for term in terms:
        if term.name not in valid:
            raise _unknown(host.costs, name, term.name, valid)
        cost = make_part(valid[term.name], f"cost '{term.name}'", options=term.options)
        made.append(CostTerm(term.name, cost, 1.0 if term.weight is None else term.weight))
    return WeightedCost(tuple(made))


def available_costs(host: Host, name: str, task: Task) -> Mapping[str, Callable[..., CostFunction]]:
    """The factories of all costs that suit the task, its own ones first.

    Raises:
        PluginError: a plugin's cost has the name of one of the task's own.
    """
    return _with_registered(task.costs(), host.costs, host, name)


# -- base policies --------------------------------------------------------------------------------


def make_factors(
    opened: OpenTask, choice: Choice, checkpoint: Path | None, resources: Resources
) -> tuple[Factor, ...]:
    """The factors of the product policy.

    Args:
        opened: the task.
        choice: one of the task's offers, or a registered kind of base policy. The latter takes
            the place of the policies of the task's first offer, or of the one that its option
            ``offer`` names.
        checkpoint: a file, or a folder with ``KIND.safetensors`` for each kind of agents; None
            stands for the shipped one.
        resources: what the policies are made with.

    Raises:
        UsageError: an unknown name or option.
        CheckpointError: a checkpoint is missing or made for something else.
        SpecificationError: the policy doesn't read or write what the task asks.
    """
    record, offer, options, shipped = _policy(opened, choice)
    policies = {
        kind: _make_policy(
            record,
            kind,
            spec,
            _checkpoint(opened.name, choice.name, offer, kind, checkpoint, shipped),
            resources,
            options,
        )
        for kind, spec in offer.kinds.items()
    }
    return tuple(
        Factor(policies[layout.kind], layout.agents, layout.observe, layout.action_sizes)
        for layout in offer.factors
    )


def _policy(
    opened: OpenTask, choice: Choice
) -> tuple[BasePolicyRecord, PolicyOffer, dict[str, Any], bool]:
    """The kind of policy, whom it serves, its options, and whether shipped checkpoints fit."""
    registry, offers = opened.host.base_policies, opened.parts.policies
    options = dict(choice.options)
    if choice.name in offers:
        offer = offers[choice.name]
        return registry.get(offer.policy), offer, options, True
    if choice.name not in registry or not registry.get(choice.name).suits(opened.name):
        valid = {**offers, **{record.name: record for record in _suiting(registry, opened.name)}}
        raise _unknown(registry, opened.name, choice.name, valid)
    name = str(options.pop("offer", next(iter(offers))))
    if name not in offers:
        raise unknown_name(f"offer of policies of task '{opened.name}'", name, offers)
    return registry.get(choice.name), offers[name], options, False


def _checkpoint(
    task: str, policy: str, offer: PolicyOffer, kind: str, given: Path | None, shipped: bool
) -> Path | None:
    """Where the policy of one kind is loaded from."""
    if given is None:
        return offer.checkpoints.get(kind) if shipped else None
    if given.is_dir():
        return given / f"{kind}.safetensors"
    if len(offer.kinds) > 1:
        files = " and ".join(f"{name}.safetensors" for name in offer.kinds)
        raise CheckpointError(
            f"{given}: policy '{policy}' of task '{task}' has several kinds of agents: give a "
            f"folder with {files}"
        )
    return given


def _make_policy(
    record: BasePolicyRecord,
    kind: str,
    spec: PolicySpec,
    checkpoint: Path | None,
    resources: Resources,
    options: Mapping[str, Any],
) -> BasePolicy:
    what = f"base policy '{record.name}'"
    policy: BasePolicy = make_part(
        record.factory, what, spec, checkpoint, resources, options=options
    )
    if not isinstance(policy, BasePolicy):
        raise PluginError(f"{what} made {type(policy).__name__}, which is no BasePolicy")
    for field in ("horizon", "dimension"):
        wanted, found = getattr(spec.action, field), getattr(policy.spec.action, field)
        if wanted != found:
            raise SpecificationError(
                f"{what} for '{kind}' has {field} {found}, the task needs {wanted}"
            )
    _place(policy, resources)
    return policy


# -- predictors, simulators, drivers --------------------------------------------------------------


def make_predictor(opened: OpenTask, choice: Choice, resources: Resources) -> Predictor:
    """One of the task's own predictors, or a registered one.

    Raises:
        UsageError: an unknown name or option, or a predictor that can't work on the device.
    """
    made: Mapping[str, Callable[..., Predictor]] = _with_registered(
        opened.parts.predictors,
        opened.host.predictors,
        opened.host,
        opened.name,
        lambda factory: partial(factory, opened.parts),
    )
    if choice.name not in made:
        raise _unknown(opened.host.predictors, opened.name, choice.name, made)
    what = f"predictor '{choice.name}'"
    predictor: Predictor = make_part(made[choice.name], what, resources, options=choice.options)
    if not isinstance(predictor, Predictor):
        raise PluginError(f"{what} is {type(predictor).__name__}, which is no Predictor")
    _place(predictor, resources)
    return predictor


def make_environment(
    opened: OpenTask, simulator: Choice | None, resources: Resources
) -> Environment:
    """The task's environment, in the chosen simulator if it takes one.

    Raises:
        UsageError: an unknown simulator, or a task that takes none.
    """
    if opened.parts.simulator is None:
        if simulator is not None:
            raise UsageError(
                f"task '{opened.name}' simulates by itself: leave --simulator {simulator} out"
            )
        return opened.parts.environment(resources)
    chosen = simulator or Choice(opened.parts.simulator)
    record = _suitable(opened.host.simulators, opened.name, chosen.name)
    make_simulator = make_part(
        record.factory, f"simulator '{record.name}'", resources, options=chosen.options
    )
    return opened.parts.environment(resources, make_simulator)


def plant_factory(opened: OpenTask, driver: Choice, resources: Resources) -> Callable[[], Plant]:
    """Makes the plants of a driver, one an episode.

    Raises:
        UsageError: an unknown driver.
    """
    record = _suitable(opened.host.drivers, opened.name, driver.name)
    return partial(
        make_part,
        record.factory,
        f"driver '{record.name}'",
        opened.parts,
        resources,
        options=driver.options,
    )


# -- planners -------------------------------------------------------------------------------------


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
    product = ProductPolicy(make_factors(opened, choice.policy, choice.checkpoint, resources))
    _check_rate(product, opened.parts)
    for part in _with_parts((cost, guidance, sampler)):
        _place(part, resources)
    made = MethodParts(
        product,
        predictor,
        cost,
        guidance,
        sampler,
        choice.settings.samples,
        choice.settings.temperature,
    )
    what = f"method '{method.name}'"
    planner: Planner = make_part(method.factory, what, made, options=choice.method.options)
    if not isinstance(planner, Planner):
        raise PluginError(f"{what} made {type(planner).__name__}, which is no Planner")
    return planner


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


def _place(part: object, resources: Resources) -> None:
    """Move a part's own tensors to where plans are made, if it is a module or has a normaliser."""
    for module in (part, getattr(part, "normaliser", None)):
        if isinstance(module, nn.Module):
            module.to(resources.device, resources.dtype)


def _with_parts(parts: Iterable[object]) -> list[object]:
    """The parts, the terms of their weighted costs, and what their attributes hold."""
    found: list[object] = []
    for part in parts:
        found.append(part)
        if isinstance(part, WeightedCost):
            found += [term.cost for term in part.terms]
        elif attrs.has(type(part)):
            fields: Any = attrs.fields(type(part))  # type: ignore[arg-type]
            found += [getattr(part, field.name) for field in fields]
    return found


def available(opened: OpenTask) -> dict[str, tuple[str, ...]]:
    """By option of a run, the names that it takes for this task, the default ones first."""
    host, parts, task = opened.host, opened.parts, opened.name
    suiting = {
        key: tuple(record.name for record in _suiting(getattr(host, key), task))
        for key in ("base_policies", "predictors", "simulators", "drivers")
    }
    return {
        "preset": tuple(parts.presets),
        "method": host.methods.names(),
        "policy": (*parts.policies, *suiting["base_policies"]),
        "predictor": (*parts.predictors, *suiting["predictors"]),
        "simulator": suiting["simulators"] if parts.simulator else (),
        "driver": suiting["drivers"],
        "posterior": host.posteriors.names(),
        "guidance": host.guidances.names(),
        "sampler": host.samplers.names(),
        "cost": tuple(available_costs(host, task, opened.task)),
    }


# -- names ----------------------------------------------------------------------------------------


def _suiting(registry: Registry[Any], task: str) -> list[Any]:
    """The records that are meant for the task."""
    return [record for record in registry if record.suits(task)]


def _suitable(registry: Registry[Any], task: str, name: str) -> Any:
    """The record of that name, if it is meant for the task."""
    valid = {record.name: record for record in _suiting(registry, task)}
    if name not in valid:
        raise _unknown(registry, task, name, valid)
    return valid[name]


def _with_registered(
    own: Mapping[str, Callable[..., Any]],
    registry: Registry[Any],
    host: Host,
    task: str,
    bind: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda factory: factory,
) -> Mapping[str, Callable[..., Any]]:
    """The task's own factories, and those that are registered for it.

    Raises:
        PluginError: one of the latter has the name of one of the former.
    """
    valid = dict(own)
    for record in _suiting(registry, task):
        if record.name in own:
            kind = registry.kind
            raise PluginError(
                f"{kind} '{record.name}' of '{registry.origin(record.name)}' has the name of a "
                f"{kind} of task '{task}' of '{host.tasks.origin(task)}': rename or uninstall it"
            )
        valid[record.name] = bind(record.factory)
    return valid


def _unknown(registry: Registry[Any], task: str, name: str, valid: Mapping[str, Any]) -> UsageError:
    record: ForTasks | None = registry.get(name) if name in registry else None
    if record is not None and record.tasks:
        meant = ", ".join(record.tasks)
        return UsageError(
            f"{registry.kind} '{name}' is meant for the task {meant}, not for '{task}'"
        )
    return unknown_name(registry.kind, name, valid, registry.hint)
