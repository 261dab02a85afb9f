"""What this distribution registers. Nothing heavy is imported before a factory is called."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from codi_core.host.hookspecs import hookimpl
from codi_core.host.late_class import LatePlanner
from codi_core.host.records import BenchmarkRecord, CommandRecord, Main, MethodParts, MethodRecord

if TYPE_CHECKING:
    from codi_core.planning import Planner

_COORDINATED = LatePlanner("codi_core.composition:CoordinatedPolicy")


@hookimpl
def codi_benchmarks() -> Iterator[BenchmarkRecord]:
    """The comparisons, and grids of any runs."""
    yield BenchmarkRecord(
        "estimators", "estimators of the guidance score against exact solutions", _estimators
    )
    yield BenchmarkRecord(
        "locality", "bias and variance of factored guidance on chains and grids", _locality
    )
    yield BenchmarkRecord("grid", "rows of options in a file, run into one table", _grid)
    yield BenchmarkRecord("task", "estimators in closed loop on a task, at equal rollouts", _task)
    yield BenchmarkRecord("paper", "the paper's figures and claims, on all its methods", _paper)


@hookimpl
def codi_methods() -> Iterator[MethodRecord]:
    """The paper's ablations and baselines."""
    yield MethodRecord(
        "codi-joint", "CoDi's guidance on the joint policy", _COORDINATED, policy="joint"
    )
    yield MethodRecord(
        "codi-indep",
        "each agent guided on its own, as if the others stood still",
        _codi_indep,
        cost="independent",
    )
    yield MethodRecord("codi-simple", "CoDi with the goal term alone", _COORDINATED, cost="goal")
    yield MethodRecord(
        "codi-joint-simple",
        "CoDi on the joint policy with the goal term alone",
        _COORDINATED,
        policy="joint",
        cost="goal",
    )
    yield MethodRecord(
        "cg-joint",
        "classifier guidance of the joint policy; options checkpoint, scale, lowest, highest",
        partial(_classifier_guidance, "cg-joint"),
        policy="joint",
    )
    yield MethodRecord(
        "cg-product",
        "classifier guidance of single-agent policies; options as those of cg-joint",
        partial(_classifier_guidance, "cg-product"),
    )
    for name, summary in (
        ("dpmd-joint", "the joint policy, fine-tuned by mirror descent; option checkpoint"),
        ("sdac-joint", "the joint policy, fine-tuned by a soft actor-critic; option checkpoint"),
        ("expo-joint", "the joint policy, fine-tuned on its edited samples; option checkpoint"),
    ):
        yield MethodRecord(name, summary, partial(_fine_tuned, name), policy="joint")


@hookimpl
def codi_commands() -> Iterator[CommandRecord]:
    """Training of baselines."""
    yield CommandRecord("train-baseline", "train a baseline on joint demonstrations", _train)


def _codi_indep(parts: MethodParts) -> Planner:
    from codi_baselines.methods.independent import codi_indep

    return codi_indep(parts)


def _classifier_guidance(
    method: str,
    parts: MethodParts,
    checkpoint: str | None = None,
    scale: float = 0.1,
    lowest: float = 0.2,
    highest: float = math.inf,
) -> Planner:
    # Scale and lowest level were searched on the handover: a model's errors outweigh what its
    # gradient, divided by λ = 0.002, says about small differences.
    from codi_baselines.methods.classifier_guidance import classifier_guidance

    return classifier_guidance(method, parts, checkpoint, scale, lowest, highest)


def _fine_tuned(method: str, parts: MethodParts, checkpoint: str | None = None) -> Planner:
    from codi_baselines.methods.fine_tuned import fine_tuned

    return fine_tuned(method, parts, checkpoint)


def _train() -> Main:
    from codi_baselines.train.command import main

    return main


def _estimators() -> Main:
    from codi_baselines.closed_form.command import main

    return main


def _locality() -> Main:
    from codi_baselines.locality.command import main

    return main


def _grid() -> Main:
    from codi_baselines.grids.command import main

    return main


def _task() -> Main:
    from codi_baselines.on_task.command import main

    return main


def _paper() -> Main:
    from codi_baselines.paper.command import main

    return main
