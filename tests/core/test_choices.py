"""How parts are made from what a user asked for: each mistake is a sentence that names the part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytest

from codi_core.errors import CodiError, PlanError, SpecificationError, UsageError
from codi_core.host.choices import make_part
from codi_core.host.records import (
    BasePolicyRecord,
    CostRecord,
    DriverRecord,
    PredictorRecord,
    SimulatorRecord,
)
from codi_core.tasks import TaskParts


def carry(height: float, margin: float = 0.1) -> tuple[float, float]:
    return height, margin


class Skipped(BaseException):
    """As pytest raises it."""


def placed(spec: str, resources: str, count: int = 3, **given: Any) -> Any:
    return spec, resources, count, given


def raising() -> None:
    raise KeyError("gripper")


class Abstract(ABC):
    """Can't be made."""

    @abstractmethod
    def act(self) -> None:
        """Nothing."""


def test_what_the_host_passes_is_no_option_of_the_users() -> None:
    assert make_part(placed, "policy 'p'", "spec", "cpu", options={"count": 2, "more": 1}) == (
        "spec",
        "cpu",
        2,
        {"more": 1},
    )

    def strict(spec: str, resources: str, count: int = 3) -> None: ...

    with pytest.raises(UsageError, match=r"policy 'p' has no option 'cuont'; its options: count$"):
        make_part(strict, "policy 'p'", "spec", "cpu", options={"cuont": 2})


def test_a_missing_option_is_named() -> None:
    with pytest.raises(UsageError, match="cost 'carry' needs its option 'height': write NAME:hei"):
        make_part(carry, "cost 'carry'", options={"margin": 1.0})
    assert make_part(carry, "cost 'carry'", options={"height": 2.0}) == (2.0, 0.1)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (raising, "cost 'c' cannot be made: KeyError: 'gripper'"),
        (Abstract, "cost 'c' cannot be made: its class Abstract is abstract; it lacks act"),
        (3.0, "cost 'c' cannot be made: 3.0 is no function or class"),
    ],
)
def test_a_factory_that_makes_nothing_is_named(factory: Any, message: str) -> None:
    with pytest.raises(SpecificationError, match=message) as caught:
        make_part(factory, "cost 'c'")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("factory", [carry, lambda height, margin: None, lambda **given: None])
def test_numbers_that_mean_nothing_are_refused(factory: Any, value: float) -> None:
    """Also where the factory says nothing of its options."""
    with pytest.raises(UsageError, match=f"'c' refuses margin={value}: it must be a finite number"):
        make_part(factory, "cost 'c'", options={"height": 1.0, "margin": value})


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit("x"), Skipped("here")])
def test_a_factory_that_ends_the_process_has_broken(error: BaseException) -> None:
    def end() -> None:
        raise error

    with pytest.raises(SpecificationError, match=f"'c' cannot be made: {type(error).__name__}"):
        make_part(end, "cost 'c'")


def test_an_interruption_is_not_the_factorys() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_part(interrupted, "cost 'c'")


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("name", r"'mine' has tasks='name', a text .* write tasks=\('name',\)"),
        (("name", 3), "'mine' has 3 among its tasks"),
    ],
)
@pytest.mark.parametrize(
    "kind", [CostRecord, BasePolicyRecord, PredictorRecord, SimulatorRecord, DriverRecord]
)
def test_a_forgotten_comma_is_named(kind: Any, tasks: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        kind("mine", "for one task", carry, tasks)
    assert kind("mine", "for one task", carry, ["name"]).tasks == ("name",)


def test_errors_with_a_message_for_the_user_stay_as_they_are() -> None:
    def refuse() -> None:
        raise PlanError("not today")

    with pytest.raises(CodiError, match=r"^not today$"):
        make_part(refuse, "cost 'c'")


def test_agents_are_names_in_a_tuple() -> None:
    nothing: Any = None
    with pytest.raises(SpecificationError, match="agents='tandem' is a text"):
        TaskParts("tandem", 10.0, nothing, {}, {}, {}, nothing)  # type: ignore[arg-type]
