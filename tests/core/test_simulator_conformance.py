"""The kit for simulators, on points that fall towards where they are sent."""

from __future__ import annotations

import attrs
import pytest
import torch
from torch import Tensor

from codi_core.tasks import Simulator
from codi_core.testing import Agreement, ConformanceError, Drive, check_simulator


@attrs.frozen(eq=False)
class Points:
    """position (n, 2) and velocity (n, 2)."""

    position: Tensor
    velocity: Tensor

    def of_worlds(self, rows: Tensor) -> Points:
        return Points(self.position[rows], self.velocity[rows])


@attrs.frozen(eq=False)
class Seen:
    state: Points
    valid: Tensor


class World(Simulator):
    """Points that are driven by accelerations; a fault by its name."""

    def __init__(self, copies: int, fault: str = "") -> None:
        self.device, self.copies, self.fault = "cpu", copies, fault
        self.now = Points(torch.zeros(copies, 2), torch.zeros(copies, 2))
        self.age = 0

    def set_state(self, state: Points, rows: Tensor | None = None) -> None:
        every = torch.arange(self.copies) if rows is None else rows
        if self.fault == "deaf":
            every = torch.arange(self.copies)[: len(every)]
        self.now = Points(
            self.now.position.index_copy(0, every, state.position),
            self.now.velocity.index_copy(0, every, state.velocity),
        )

    def step(self, targets: Tensor, count: int, rows: Tensor | None = None) -> Seen:
        every = torch.arange(self.copies) if rows is None else rows
        state = self.now.of_worlds(every)
        self.age += count
        push = targets + (1e-3 * self.age if self.fault == "tired" else 0.0)
        if self.fault == "crowded" and len(every) > 1:
            push = push + 1e-3 * state.position.mean(0)
        for _ in range(count):
            velocity = state.velocity + 0.01 * push
            state = Points(state.position + 0.01 * velocity, velocity)
        if self.fault == "live" and rows is None:
            self.now.position[every], self.now.velocity[every] = state.position, state.velocity
            return Seen(self.now, torch.ones(self.copies, dtype=torch.bool))
        if self.fault != "lazy":
            self.now = Points(
                self.now.position.index_copy(0, every, state.position),
                self.now.velocity.index_copy(0, every, state.velocity),
            )
        valid = state.position.isfinite().all(-1)
        if self.fault == "brave":
            valid = torch.ones_like(valid)
        if self.fault == "contagious" and not valid.all():
            state = Points(state.position + 1.0, state.velocity)
        return Seen(state, valid)


DRIVE = Drive(
    Points(torch.tensor([[0.0, 1.0], [2.0, 0.5], [1.0, 1.0]]), torch.ones(3, 2)),
    torch.linspace(-1, 1, 30).view(5, 3, 2),
    10,
)
BROKEN = Points(torch.full((1, 2), torch.nan), torch.zeros(1, 2))


def check(fault: str, **options: object) -> None:
    check_simulator(lambda copies: World(copies, fault), DRIVE, broken=BROKEN, **options)


def test_a_simulator_that_keeps_its_word() -> None:
    within = {10: {"position": 0.0}, 50: {"position": 0.0, "velocity": 0.0}}
    check("", agreement=Agreement(World, within))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("deaf", "copies that are stepped alone, 1 calls after their start, have, unlike among"),
        ("tired", "a simulator that was used before has, unlike a new one, another 'position'"),
        ("crowded", "copies that are stepped alone, 1 calls after their start, have, unlike"),
        ("lazy", "World: a look after the last step shows another 'position'"),
        ("brave", r"`valid` is \[True, True, True\] where the second copy broke down"),
        ("contagious", "beside a copy that broke down, others have another 'position', off by 1"),
        ("live", "later steps change, of earlier ones, another 'position'"),
    ],
)
def test_what_is_wrong_is_named(fault: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check(fault)


def test_another_simulator_that_disagrees() -> None:
    other = Agreement(lambda copies: World(copies, "tired"), {10: {"position": 1e-6}})
    with pytest.raises(ConformanceError, match=r"after 10 physics steps 'position' is .*"):
        check("", agreement=other)


def test_steps_that_no_call_ends_at() -> None:
    with pytest.raises(ConformanceError, match="5 calls of 10 physics steps don't end after 55"):
        check("", agreement=Agreement(World, {55: {"position": 0.0}}))
