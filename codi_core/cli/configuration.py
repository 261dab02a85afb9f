"""A run's configuration: every value that its numbers depend on, resolved and JSON-able."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.cli.cost_option import HELP as COST_HELP
from codi_core.cli.options import not_negative, positive, whole
from codi_core.errors import UsageError

if TYPE_CHECKING:
    from codi_core.tasks import TaskParts

WORLDS = 50
"""How many worlds run at once by default, if there are as many episodes."""


def _option(help_text: str, default: Any = None, **metadata: Any) -> Any:
    return attrs.field(default=default, metadata={"help": help_text, **metadata})


@attrs.frozen
class RunConfig:
    """The options of ``codi-run`` that a result depends on; None stands for the task's own value.

    A resolved configuration (see :func:`resolve`) has no None but perhaps in ``checkpoint``, where
    it stands for the shipped one, and in ``after_success``, where it stands for the time limit.
    """

    task: str | None = _option("the task to run", metavar="NAME")
    method: str = _option("the planning method", "codi", metavar="NAME")
    episodes: int = _option("how many episodes", 10, type=whole(1), metavar="N")
    seed: int = _option(
        "the seed that everything random derives from", 0, type=whole(0), metavar="N"
    )
    worlds: int | None = _option(
        f"how many episodes run at once (default: all, at most {WORLDS})",
        type=whole(1),
        metavar="N",
    )
    predictor: str | None = _option(
        "what foresees the samples' effects; other defaults may follow from it",
        metavar="NAME",
    )
    posterior: str | None = _option(
        "the posterior approximation", metavar="NAME[:option=value,...]"
    )
    guidance: str | None = _option("the guidance", metavar="NAME[:option=value,...]")
    sampler: str | None = _option(
        "the integrator of the reverse-time SDE", metavar="NAME[:option=value,...]"
    )
    samples: int | None = _option("M, samples a denoising step", type=whole(1), metavar="M")
    temperature: float | None = _option("λ, in units of the cost", type=positive, metavar="X")
    steps: int | None = _option(
        "denoising steps of a plan from pure noise", type=whole(1), metavar="N"
    )
    sigma_max: float | None = _option("the first noise level", type=positive, metavar="X")
    sigma_min: float | None = _option("the last noise level above zero", type=positive, metavar="X")
    rho: float | None = _option("the spacing of the noise levels", type=positive, metavar="X")
    execute: int | None = _option(
        "E, how many actions of a plan are executed", type=whole(1), metavar="E"
    )
    cost: tuple[str, ...] = _option(COST_HELP, (), action="append", metavar="TERM")
    checkpoint: str | None = _option(
        "the base policies' checkpoint (default: the shipped one)", metavar="PATH"
    )
    max_seconds: float | None = _option(
        "the time limit of an episode [s]", type=positive, metavar="S"
    )
    after_success: float | None = _option(
        "end an episode that long after its success [s] (most tasks go on to the time limit)",
        type=not_negative,
        metavar="S",
    )
    latency: float = _option(
        "how long a plan is in the making [s], rounded up to whole control periods",
        0.0,
        type=not_negative,
        metavar="S",
    )
    device: str = _option("where plans are made", "cpu", metavar="DEVICE")
    threads: int = _option("threads for planning", 1, type=whole(1), metavar="N")
    physics_threads: int | None = _option(
        "threads for physics (default: one a core)", type=whole(1), metavar="N"
    )
    task_options: Mapping[str, Any] = attrs.field(factory=dict, metadata={"hidden": True})


def from_json(values: Mapping[str, Any]) -> RunConfig:
    """A configuration from ``config.json``.

    Raises:
        UsageError: a value that this version doesn't know.
    """
    known = {field.name for field in attrs.fields(RunConfig)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UsageError(f"config.json has values that this version doesn't know: {unknown}")
    return RunConfig(**{**values, "cost": tuple(values.get("cost", ()))})


def task_defaults(parts: TaskParts, predictor: str | None = None) -> dict[str, Any]:
    """What None stands for, by field, with a predictor or with the task's first one."""
    chosen = predictor or next(iter(parts.predictors), None)
    settings = parts.settings if chosen is None else parts.settings_for.get(chosen, parts.settings)
    return {
        **attrs.asdict(settings),
        "predictor": chosen,
        "max_seconds": parts.max_seconds,
        "after_success": parts.after_success,
    }


def resolve(config: RunConfig, parts: TaskParts, task_options: Any) -> RunConfig:
    """Fill in what the task decides.

    Args:
        config: the options that were given.
        parts: the task's parts for these options.
        task_options: the instance of the task's ``Options``.

    Raises:
        UsageError: the cost's terms are malformed.
    """
    from codi_core.cli.cost_option import resolve_costs

    defaults = task_defaults(parts, config.predictor)
    filled = {name: value for name, value in defaults.items() if getattr(config, name) is None}
    return attrs.evolve(
        config,
        **filled,
        worlds=min(config.worlds or WORLDS, config.episodes),
        physics_threads=config.physics_threads or os.cpu_count() or 1,
        cost=tuple(str(term) for term in resolve_costs(config.cost, parts.default_costs)),
        checkpoint=None if config.checkpoint is None else os.path.abspath(config.checkpoint),
        task_options=attrs.asdict(task_options),
    )
