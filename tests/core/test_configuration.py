"""What the options of a run stand for where they are not given."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest

from codi_core.errors import SpecificationError, UsageError
from codi_core.experiments.configuration import resolve, task_defaults
from codi_core.host.assembly import OpenTask
from codi_core.host.records import MethodRecord
from codi_core.host.registry import Registry
from codi_core.tasks import Finish, Metrics, PlanSettings, TaskParts

METHODS: Registry[MethodRecord] = Registry("method")
for _record in (
    MethodRecord("codi", "plain", dict),
    MethodRecord("tuned", "knows its policies", dict, policy="joint"),
    MethodRecord("simple", "knows its policies and its cost", dict, policy="joint", cost="goal"),
    MethodRecord("smooth", "knows its settings", dict, settings={"samples": 24, "rho": 3.0}),
    MethodRecord("typo", "brings a setting that there is not", dict, settings={"sample": 24}),
    MethodRecord("odd", "wants a cost that no task has", dict, cost="moon"),
):
    METHODS.add(_record, "test")

QUICK = PlanSettings(samples=8, execute=2, sampler="warm-start:steps=4")


@attrs.frozen
class NoOptions:
    """A task without options."""


class NoMetrics(Metrics):
    """Nothing is measured."""

    def episode(self, events: Any, dt: float) -> dict[str, Any]:
        return {}

    def summary(self, records: Any) -> dict[str, Any]:
        return {}


def parts() -> TaskParts:
    """Two predictors; the second one has plan settings of its own."""
    nothing = cast(Any, None)
    return TaskParts(
        agents=("only",),
        rate_hz=10.0,
        environment=nothing,
        policies={},
        predictors={"fast": nothing, "slow": nothing},
        default_costs={"near": 1.0, "far": 3.0},
        metrics=NoMetrics(),
        settings=PlanSettings(samples=64),
        settings_for={"slow": QUICK},
    )


def test_a_predictor_may_bring_settings_of_its_own() -> None:
    assert task_defaults(parts())["predictor"] == "fast"
    assert task_defaults(parts())["samples"] == 64
    assert task_defaults(parts(), "fast")["samples"] == 64
    slow = task_defaults(parts(), "slow")
    assert slow["predictor"] == "slow"
    assert {name: slow[name] for name in attrs.asdict(QUICK)} == attrs.asdict(QUICK)


def opened(**presets: Any) -> OpenTask:
    """A task with these parts and presets, of which nothing else is known."""
    nothing = cast(Any, None)
    host = cast(Any, SimpleNamespace(methods=METHODS))
    own = attrs.evolve(parts(), presets=presets, cost_variants={"goal": {"far": 2.0}})
    return OpenTask(host, "task", nothing, NoOptions(), own)


@pytest.mark.parametrize(("predictor", "execute"), [(None, 4), ("fast", 4), ("slow", 2)])
def test_what_is_given_goes_before_the_settings(predictor: str | None, execute: int) -> None:
    resolved = resolve({"predictor": predictor, "samples": 5}, opened())
    assert (resolved.samples, resolved.execute) == (5, execute)
    assert resolved.predictor == predictor or resolved.predictor == "fast"


def test_a_preset_goes_before_the_settings_and_after_what_is_given() -> None:
    task = opened(quick={"predictor": "slow", "steps": 3, "samples": 2})
    resolved = resolve({"preset": "quick", "samples": 7}, task)
    assert (resolved.preset, resolved.predictor) == ("quick", "slow")
    assert (resolved.steps, resolved.samples, resolved.execute) == (3, 7, QUICK.execute)


def test_a_preset_goes_before_what_an_earlier_run_had() -> None:
    task = opened(quick={"steps": 3})
    stored = attrs.asdict(resolve({"steps": 9, "samples": 8}, task))
    resolved = resolve({"preset": "quick"}, task, stored)
    assert (resolved.steps, resolved.samples) == (3, 8)
    assert resolve({}, task, stored) == resolve({"steps": 9, "samples": 8}, task)


def test_a_task_that_agrees_on_an_end_takes_it_unless_a_run_from_before_is_repeated() -> None:
    task, nothing = opened(), cast(Any, None)
    assert not resolve({}, task).finish
    with pytest.raises(UsageError, match="task 'task' agrees on no end: leave --finish out"):
        resolve({"finish": True}, task)
    ends = attrs.evolve(task, parts=attrs.evolve(task.parts, finish=Finish(nothing, nothing)))
    assert resolve({}, ends).finish
    assert not resolve({"finish": False}, ends).finish
    stored = attrs.asdict(resolve({}, ends))
    assert resolve({}, ends, stored).finish
    del stored["finish"]
    assert not resolve({}, ends, stored).finish


def test_what_belongs_to_the_task_of_an_earlier_run_is_left_to_another_task() -> None:
    task = opened()
    earlier = {"cost": ("moon",), "predictor": "exact", "samples": 9, "max_seconds": 2.0}
    stored = {**attrs.asdict(resolve({"seed": 5, "episodes": 3}, task)), **earlier, "task": "other"}
    resolved = resolve({}, task, stored)
    assert (resolved.task, resolved.seed, resolved.episodes) == ("task", 5, 3)
    assert resolved == resolve({"seed": 5, "episodes": 3}, task)
    assert resolve({"samples": 7}, task, stored).samples == 7


def test_an_unknown_preset_names_the_others() -> None:
    with pytest.raises(UsageError, match=r"preset of task 'task' 'quik'; did you mean 'quick'"):
        resolve({"preset": "quik"}, opened(quick={}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"episodes": 0}, "--episodes: must be a whole number of at least 1, not 0"),
        ({"temperature": math.nan}, "--temperature: must be a positive number, not nan"),
        ({"after_success": -1}, "--after-success: must be zero or a positive number, not -1"),
        (
            {"latency": "soon"},
            "--latency: must be zero, a positive number or the word 'measured', not 'soon'",
        ),
        ({"latency": "measured", "worlds": 2}, "--latency measured runs one world at a time"),
        ({"driver": "x", "latency": 0.1}, "leave --latency out"),
        ({"cuda_graphs": True}, "--cuda-graphs needs --device cuda; plans are made on cpu"),
        ({"precision": "tf32"}, "--precision tf32 needs --device cuda; plans are made on cpu"),
        ({"precision": "half"}, "--precision: must be one of float32, tf32, bfloat16"),
        ({"cuda_graphs": "on", "device": "cuda"}, "--cuda-graphs: must be "),
        ({"driver": "x", "simulator": "y"}, "leave --simulator out"),
        ({"preset": "fast"}, "task 'task' names no presets: leave --preset fast out"),
        ({"episode": 3}, "no options called episode"),
        ({"policy": "a:checkpoint=b", "checkpoint": "c"}, "give one of them"),
    ],
)
def test_bad_values_are_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(given, opened())


def test_a_checkpoint_may_be_an_option_of_the_policy(tmp_path: Path) -> None:
    resolved = resolve({"policy": f"joint:checkpoint={tmp_path}/x,offer=pair"}, opened())
    assert (resolved.policy, resolved.checkpoint) == ("joint:offer=pair", f"{tmp_path}/x")


@pytest.mark.parametrize("name", ["1e3", "true", "x=y", "none"])
def test_a_checkpoint_of_a_policy_is_taken_as_it_is_written(name: str) -> None:
    resolved = resolve({"policy": f"joint:checkpoint=/w/{name}"}, opened())
    assert resolved.checkpoint == f"/w/{name}"
    assert (
        Path(str(resolve({"policy": f"joint:checkpoint={name}"}, opened()).checkpoint)).name == name
    )


def test_time_is_real_for_one_world_only() -> None:
    assert resolve({"episodes": 5}, opened()).worlds == 5
    assert resolve({"episodes": 5, "latency": "measured"}, opened()).worlds == 1
    assert resolve({"episodes": 5, "driver": "arm"}, opened()).worlds == 1


def test_a_run_in_simulation_can_be_run_again_on_hardware() -> None:
    simulated = attrs.asdict(
        resolve({"episodes": 5, "samples": 8, "simulator": "engine", "latency": 0.1}, opened())
    )
    real = resolve({"driver": "arm"}, opened(), simulated)
    assert (real.samples, real.episodes, real.worlds) == (8, 5, 1)
    assert (real.simulator, real.worker, real.latency) == (None, "process", 0.0)
    with pytest.raises(UsageError, match="leave --simulator out"):
        resolve({"driver": "arm", "simulator": "engine"}, opened(), simulated)
    driven = attrs.asdict(resolve({"driver": "arm", "worker": "thread"}, opened()))
    assert resolve({"driver": "arm"}, opened(), driven).worker == "thread"


def test_a_run_can_be_run_again_with_measured_delays() -> None:
    together = attrs.asdict(resolve({"episodes": 5}, opened()))
    assert resolve({"latency": "measured"}, opened(), together).worlds == 1
    with pytest.raises(UsageError, match="runs one world at a time"):
        resolve({"latency": "measured", "worlds": 5}, opened(), together)


def test_a_method_brings_its_policies_and_its_variant_of_the_cost() -> None:
    assert resolve({"method": "tuned"}, opened()).policy == "joint"
    assert resolve({"method": "tuned"}, opened()).cost == ("near=1.0", "far=3.0")
    assert resolve({"method": "simple"}, opened()).cost == ("far=2.0",)
    given = resolve({"method": "simple", "policy": "mine", "cost": ("+near=5",)}, opened())
    assert (given.policy, given.cost) == ("mine", ("far=2.0", "near=5.0"))


def test_a_method_brings_its_plan_settings() -> None:
    for predictor in ("fast", "slow"):
        resolved = resolve({"method": "smooth", "predictor": predictor}, opened())
        assert (resolved.samples, resolved.rho) == (24, 3.0)
    assert resolved.execute == QUICK.execute
    assert resolve({"method": "smooth", "samples": 5}, opened()).samples == 5
    task = opened(few={"samples": 3, "steps": 6})
    resolved = resolve({"method": "smooth", "preset": "few"}, task)
    assert (resolved.samples, resolved.steps) == (24, 6)
    before = attrs.asdict(resolve({"method": "smooth"}, task))
    assert resolve({"method": "codi"}, task, before).samples == 64


def test_a_task_has_settings_of_its_own_for_a_method() -> None:
    own = attrs.evolve(parts(), method_settings={"smooth": {"rho": 4.0, "execute": 3}})
    task = attrs.evolve(opened(), parts=own)
    for predictor in ("fast", "slow"):
        resolved = resolve({"method": "smooth", "predictor": predictor}, task)
        assert (resolved.samples, resolved.rho, resolved.execute) == (24, 4.0, 3)
    assert resolve({"method": "smooth", "execute": 1}, task).execute == 1
    assert resolve({"method": "codi"}, task).execute == PlanSettings().execute
    before = attrs.asdict(resolve({"method": "smooth"}, task))
    assert resolve({"method": "codi"}, task, before).execute == PlanSettings().execute


def test_a_setting_that_there_is_not_is_named() -> None:
    with pytest.raises(SpecificationError, match="'typo' brings sample, which no plan setting is"):
        resolve({"method": "typo"}, opened())


def test_a_given_method_goes_before_the_preset_in_what_it_brings() -> None:
    task = opened(paper={"method": "codi", "cost": ("near=7",), "steps": 3})
    resolved = resolve({"preset": "paper", "method": "simple"}, task)
    assert (resolved.method, resolved.policy, resolved.cost) == ("simple", "joint", ("far=2.0",))
    assert resolved.steps == 3
    assert resolve({"preset": "paper"}, task).cost == ("near=7.0",)


def test_another_method_than_that_of_an_earlier_run_leaves_what_that_one_brought() -> None:
    task = opened()
    simple = attrs.asdict(resolve({"method": "simple"}, task))
    assert resolve({}, task, simple).cost == ("far=2.0",)
    plain = resolve({"method": "codi"}, task, simple)
    assert (plain.policy, plain.cost) == (None, ("near=1.0", "far=3.0"))
    custom = attrs.asdict(resolve({"method": "codi", "cost": ("near=9",)}, task))
    assert resolve({"method": "tuned"}, task, custom).cost == ("near=9.0",)


def test_a_variant_that_the_task_lacks_is_named() -> None:
    with pytest.raises(UsageError, match=r"'odd' takes the variant 'moon' .* \(it has: goal\)"):
        resolve({"method": "odd"}, opened())
