"""What the options of a run stand for where they are not given."""

from __future__ import annotations

from typing import Any, cast

import attrs
import pytest

from codi_core.cli.configuration import RunConfig, resolve, task_defaults
from codi_core.tasks import PlanSettings, TaskParts

QUICK = PlanSettings(samples=8, execute=2, sampler="warm-start:steps=4")


@attrs.frozen
class NoOptions:
    """A task without options."""


def parts() -> TaskParts:
    """Two predictors; the second one has plan settings of its own."""
    nothing = cast(Any, None)
    return TaskParts(
        agents=("only",),
        rate_hz=10.0,
        environment=nothing,
        factors=nothing,
        predictors={"fast": nothing, "slow": nothing},
        default_costs={},
        metrics=nothing,
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


@pytest.mark.parametrize(("predictor", "execute"), [(None, 4), ("fast", 4), ("slow", 2)])
def test_what_is_given_goes_before_the_settings(predictor: str | None, execute: int) -> None:
    resolved = resolve(RunConfig(predictor=predictor, samples=5), parts(), NoOptions())
    assert (resolved.samples, resolved.execute) == (5, execute)
    assert resolved.predictor == predictor or resolved.predictor == "fast"
