"""A run's configuration: every value that its numbers depend on, resolved and JSON-able."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.errors import SpecificationError, UsageError
from codi_core.host.choices import Choice, combine_costs, parse_choice
from codi_core.host.registry import unknown_name
from codi_core.quantities import (
    check_fields,
    flag,
    not_negative,
    positive,
    seconds_or_measured,
    whole,
)
from codi_core.resources import PRECISIONS

if TYPE_CHECKING:
    from codi_core.host.assembly import OpenTask
    from codi_core.host.records import MethodRecord
    from codi_core.tasks import TaskParts

WORLDS = 50
"""How many worlds run at once by default, if there are as many episodes."""

COST_HELP = (
    "a cost term: NAME, NAME=WEIGHT, NAME:option=value,... or NAME=WEIGHT:option=value,...; "
    "repeatable. Plain names replace the task's own cost, +NAME adds to it or re-weights a term"
)


_OF_A_TASK = (
    *("preset", "policy", "checkpoint", "predictor", "simulator", "driver"),
    *("cost", "max_seconds", "after_success", "finish"),
)
"""Options, besides those of plans, whose values mean nothing to another task."""


def _option(help_text: str, default: Any = None, **metadata: Any) -> Any:
    return attrs.field(default=default, metadata={"help": help_text, **metadata})


@attrs.frozen
class RunConfig:
    """The options of ``codi-run`` that a result depends on; None stands for the task's own value.

    A resolved configuration (see :func:`resolve`) has no None but perhaps in ``preset`` and
    ``driver``, where it says that there is none, in ``simulator``, for a task that simulates by
    itself, in ``checkpoint``, where it stands for the shipped one, and in ``after_success``, where
    it stands for the time limit.

    Raises:
        UsageError: a number out of range.
    """

    task: str | None = _option("the task to run", metavar="NAME")
    preset: str | None = _option(
        "a set of options that the task names; options given beside it prevail", metavar="NAME"
    )
    method: str | None = _option("the planning method", metavar="NAME[:option=value,...]")
    episodes: int = _option("how many episodes", 10, type=whole(1), metavar="N")
    seed: int = _option(
        "the seed that everything random derives from", 0, type=whole(0), metavar="N"
    )
    worlds: int | None = _option(
        f"how many episodes run at once (default: all, at most {WORLDS})",
        type=whole(1),
        metavar="N",
    )
    policy: str | None = _option(
        "the base policies: what the task offers, or a registered kind",
        metavar="NAME[:option=value,...]",
    )
    checkpoint: str | None = _option(
        "the base policies' checkpoint: a file, or a folder with one file for each kind of agents "
        "(default: the shipped one)",
        metavar="PATH",
    )
    predictor: str | None = _option(
        "what foresees the samples' effects; other defaults may follow from it",
        metavar="NAME[:option=value,...]",
    )
    simulator: str | None = _option(
        "what the environment simulates with", metavar="NAME[:option=value,...]"
    )
    driver: str | None = _option(
        "drive hardware instead of a simulation", metavar="NAME[:option=value,...]"
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
    max_seconds: float | None = _option(
        "the time limit of an episode [s]", type=positive, metavar="S"
    )
    after_success: float | None = _option(
        "end an episode that long after its success [s] (most tasks go on to the time limit)",
        type=not_negative,
        metavar="S",
    )
    finish: bool | None = _option(
        "once the task is done, do what it agrees on for that time instead of planning on "
        "(default: if it agrees on something)"
    )
    worker: str | None = _option(
        "where plans are made: inline, in a thread, or in a process beside the control (default: "
        "inline in simulations, a process for hardware)",
        choices=("inline", "thread", "process"),
    )
    latency: float | str = _option(
        "how long a plan is in the making [s], rounded up to whole control periods; 'measured' "
        "takes the planner's real times, for one world at a time",
        0.0,
        type=seconds_or_measured,
        metavar="S",
    )
    device: str = _option("where plans are made", "cpu", metavar="DEVICE")
    cuda_graphs: bool = _option(
        "with --device cuda: record plans once as CUDA graphs, and replay them", False
    )
    precision: str = _option(
        "of the base policies' products and convolutions: tf32 and bfloat16 are faster on a GPU, "
        "and rounded more",
        PRECISIONS[0],
        choices=PRECISIONS,
    )
    threads: int = _option("threads for planning", 1, type=whole(1), metavar="N")
    physics_threads: int | None = _option(
        "threads for physics (default: one a core)", type=whole(1), metavar="N"
    )
    task_options: Mapping[str, Any] = attrs.field(factory=dict, metadata={"hidden": True})

    def __attrs_post_init__(self) -> None:
        check_fields(self)
        for field in attrs.fields(RunConfig):
            if "type" not in field.metadata:
                _check_text(field.name, getattr(self, field.name))


FIELDS = tuple(field.name for field in attrs.fields(RunConfig) if field.name != "task_options")
"""The names of the options."""


def from_json(values: Mapping[str, Any]) -> RunConfig:
    """A configuration from values by name, such as those in ``config.json``.

    Raises:
        UsageError: an option that this version doesn't know, or a number out of range.
    """
    unknown = sorted(set(values) - {*FIELDS, "task_options"})
    if unknown:
        raise UsageError(f"a run has no options called {', '.join(unknown)}")
    cost = values.get("cost", ())
    return RunConfig(**{**values, "cost": tuple(cost) if isinstance(cost, list) else cost})


def task_defaults(parts: TaskParts, predictor: str | None = None) -> dict[str, Any]:
    """What None stands for, by field, with a predictor or with the task's first one."""
    chosen = predictor or next(iter(parts.predictors), None)
    name = None if chosen is None else parse_choice(chosen, "--predictor").name
    settings = parts.settings if name is None else parts.settings_for.get(name, parts.settings)
    return {
        **attrs.asdict(settings),
        "policy": next(iter(parts.policies), None),
        "predictor": chosen,
        "max_seconds": parts.max_seconds,
        "after_success": parts.after_success,
        "finish": parts.finish is not None,
    }


def method_defaults(opened: OpenTask) -> dict[str, Any]:
    """The task's defaults, and over them what its default method brings of its own."""
    defaults = task_defaults(opened.parts)
    return _with_method(defaults, _method(defaults["method"], opened), opened)


def _with_method(
    defaults: dict[str, Any], method: MethodRecord | None, opened: OpenTask
) -> dict[str, Any]:
    """A task's defaults, and over them what a method brings of its own."""
    if method is None:
        return defaults
    policy = method.policy or defaults["policy"]
    return {**defaults, **_settings_of(method, opened), "policy": policy}


def resolve(
    given: Mapping[str, Any], opened: OpenTask, stored: Mapping[str, Any] | None = None
) -> RunConfig:
    """The whole configuration of a run.

    Args:
        given: the options that were given, by field name.
        opened: the task, with its own options.
        stored: the configuration of an earlier run, over which what is given prevails, a given
            preset included.

    Raises:
        UsageError: an unknown option or preset, a malformed choice, or options that exclude one
            another.
    """
    from codi_core.evaluation.run_folder import BEFORE

    parts = opened.parts
    asked = _asked(given, opened)
    before = _still_meant({**BEFORE, **stored}, asked, opened) if stored else {}
    config = from_json({**before, **asked, "task_options": {}})
    usual = task_defaults(parts, config.predictor)
    method = _method(config.method or usual["method"], opened)
    defaults = _with_method(usual, method, opened)
    policy, checkpoint = _policy(config)
    if config.driver is not None:
        _check_driven(config)
    if config.cuda_graphs and config.device.split(":")[0] != "cuda":
        raise UsageError(f"--cuda-graphs needs --device cuda; plans are made on {config.device}")
    if config.precision == "tf32" and config.device.split(":")[0] != "cuda":
        raise UsageError(f"--precision tf32 needs --device cuda; plans are made on {config.device}")
    if config.finish and parts.finish is None:
        raise UsageError(f"task '{opened.name}' agrees on no end: leave --finish out")
    filled = {name: value for name, value in defaults.items() if getattr(config, name) is None}
    return attrs.evolve(
        config,
        **{**filled, **({} if policy is None else {"policy": policy})},
        task=opened.name,
        simulator=None if config.driver is not None else config.simulator or parts.simulator,
        worker=config.worker or ("inline" if config.driver is None else "process"),
        worlds=_worlds(config),
        physics_threads=config.physics_threads or os.cpu_count() or 1,
        cost=tuple(str(term) for term in resolve_costs(config.cost, _own_costs(method, opened))),
        checkpoint=None if checkpoint is None else os.path.abspath(checkpoint),
        task_options=attrs.asdict(opened.options),
    )


def _asked(given: Mapping[str, Any], opened: OpenTask) -> dict[str, Any]:
    """The options that were given, over those of the preset; a given method knows its own."""
    preset = dict(_preset(given, opened))
    for name in _brought_by(given.get("method"), opened):
        preset.pop(name, None)
    return {**preset, **given}


def _method(text: str | None, opened: OpenTask) -> MethodRecord | None:
    """The record of a method; None if there is none, which is told when the planner is made."""
    if text is None:
        return None
    methods, name = opened.host.methods, parse_choice(text, "--method").name
    return methods.get(name) if name in methods else None


def _settings_of(method: MethodRecord, opened: OpenTask) -> Mapping[str, Any]:
    """The plan settings that a method has of its own, everywhere and in this task.

    Raises:
        SpecificationError: there is no such setting.
    """
    settings = {**method.settings, **opened.parts.method_settings.get(method.name, {})}
    known = {field.name for field in attrs.fields(type(opened.parts.settings))}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise SpecificationError(
            f"method '{method.name}' brings {', '.join(unknown)}, which no plan setting is called"
        )
    return settings


def _brought_by(text: str | None, opened: OpenTask) -> set[str]:
    """The options for which a method has values of its own."""
    method = _method(text, opened)
    if method is None:
        return set()
    parts = {name for name in ("policy", "cost") if getattr(method, name)}
    return parts | set(_settings_of(method, opened))


def _own_costs(method: MethodRecord | None, opened: OpenTask) -> Mapping[str, float]:
    """The weights of the task's own cost, in the variant that the method takes.

    Raises:
        UsageError: the task has no such variant.
    """
    variants = opened.parts.cost_variants
    if method is None or method.cost is None:
        return opened.parts.default_costs
    if method.cost not in variants:
        raise UsageError(
            f"method '{method.name}' takes the variant '{method.cost}' of a task's cost, which "
            f"task '{opened.name}' lacks (it has: {', '.join(variants) or 'none'}): name the terms "
            "with --method codi --cost …"
        )
    return variants[method.cost]


def _still_meant(
    stored: Mapping[str, Any], asked: Mapping[str, Any], opened: OpenTask
) -> dict[str, Any]:
    """What an earlier run says, without what does not go with what is asked for now.

    That is what belongs to another task, to another clock, or to another method that brought it.
    """
    excluded: set[str] = set()
    if stored.get("task") not in (None, opened.name):
        settings = attrs.fields(type(opened.parts.settings))
        excluded |= {*_OF_A_TASK, *(field.name for field in settings)}
    if "method" in asked and asked["method"] != stored.get("method"):
        excluded |= _brought_by(stored.get("method"), opened)
        excluded |= _brought_by(asked["method"], opened)
    if asked.get("driver") is not None and stored.get("driver") is None:
        excluded |= {"simulator", "worker", "latency", "worlds"}
    elif asked.get("latency") == "measured" != stored.get("latency"):
        excluded |= {"worlds"}
    return {name: value for name, value in stored.items() if name not in excluded}


def _preset(given: Mapping[str, Any], opened: OpenTask) -> Mapping[str, Any]:
    """The options of the preset that was given, if one was."""
    name, presets = given.get("preset"), opened.parts.presets
    if name is None:
        return {}
    if not presets:
        raise UsageError(f"task '{opened.name}' names no presets: leave --preset {name} out")
    if name not in presets:
        raise unknown_name(f"preset of task '{opened.name}'", name, presets)
    return presets[name]


def repeats(config: RunConfig, earlier: RunConfig) -> bool:
    """Whether the episodes of two runs are the same, but for how many there are."""
    from codi_core.evaluation.run_folder import FREE_FIELDS

    same = {name: getattr(earlier, name) for name in FREE_FIELDS}
    return attrs.evolve(config, **same) == earlier


def resolve_costs(asked: Iterable[str], defaults: Mapping[str, float]) -> tuple[Choice, ...]:
    """The cost's terms, from the texts of ``--cost`` and the task's default weights.

    Raises:
        UsageError: a text of another form, or a name given twice.
    """
    own = [Choice(name, float(weight)) for name, weight in defaults.items()]
    return combine_costs(own, [parse_choice(text, "--cost", weighted=True) for text in asked])


def _policy(config: RunConfig) -> tuple[str | None, str | None]:
    """The policy without its option ``checkpoint``, and the checkpoint."""
    if config.policy is None:
        return None, config.checkpoint
    choice = parse_choice(config.policy, "--policy")
    if "checkpoint" not in choice.options:
        return str(choice), config.checkpoint
    if config.checkpoint is not None:
        raise UsageError("--policy names a checkpoint and so does --checkpoint: give one of them")
    options = {name: value for name, value in choice.options.items() if name != "checkpoint"}
    # As it was written: a file may be called 1e3.
    written = dict(part.split("=", 1) for part in config.policy.partition(":")[2].split(","))
    return str(attrs.evolve(choice, options=options)), written["checkpoint"]


def _worlds(config: RunConfig) -> int:
    """One world at a time where time is real, else as many as asked for."""
    if config.driver is None and config.latency != "measured":
        return min(config.worlds or WORLDS, config.episodes)
    if config.worlds not in (None, 1):
        why = "--driver" if config.driver is not None else "--latency measured"
        raise UsageError(f"{why} runs one world at a time: leave --worlds {config.worlds} out")
    return 1


def _check_driven(config: RunConfig) -> None:
    if config.simulator is not None:
        raise UsageError("--driver drives hardware: leave --simulator out")
    if config.worker == "inline":
        raise UsageError("a driver can't wait for plans: leave --worker inline out")
    if config.latency:
        raise UsageError(
            "a driver runs on the wall clock, where plans take the time that they take: leave "
            "--latency out"
        )


def _check_text(name: str, value: Any) -> None:
    """Files and programs may give an option another kind of value than a command line can."""
    if name in ("task_options", "cuda_graphs", "finish") or value is None:
        return
    texts = value if name == "cost" and isinstance(value, tuple) else (value,)
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"{flag(name)}: must be a text, not {text!r}")
