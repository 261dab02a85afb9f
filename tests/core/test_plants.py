"""Plants: what the base class refuses, how it ends, and the kit that checks a driver."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from codi_core.errors import PlantError, SpecificationError
from codi_core.execution import SimulatedPlant
from codi_core.tasks import EpisodeKey, Plant, Step, VirtualClock, WallClock
from codi_core.testing import ConformanceError, check_plant
from tests.core.plants import RATE, LoggingPlant, SilentPlant, StalePlant, ThrowingPlant
from tests.core.test_execution import KEYS, RecordingWorld

CHUNK = (torch.zeros(1, 4, 1),)


class StandingClock(WallClock):
    """A wall clock that stands still until it is told to pass."""

    def __init__(self) -> None:
        self.time = 50.0
        super().__init__(lambda: self.time, self.pass_)

    def pass_(self, seconds: float) -> None:
        self.time += seconds


def standing(**arguments: Any) -> tuple[LoggingPlant, StandingClock]:
    clock = StandingClock()
    return LoggingPlant(clock=clock, **arguments), clock


def test_the_clock_starts_with_the_first_command() -> None:
    plant, clock = standing()
    plant.observe(0.0)
    clock.pass_(7.0)
    assert plant.clock.now() == 0.0
    assert plant.command(CHUNK, 0.0) == 0.0
    clock.pass_(0.25)
    assert plant.clock.now() == pytest.approx(0.25)
    assert plant.observe(0.4).time == pytest.approx(0.4)  # it waits
    assert plant.observe(0.3).time == pytest.approx(0.4)  # a time that has passed: at once


def test_a_late_command_is_answered_and_not_followed() -> None:
    plant, clock = standing()
    plant.command(CHUNK, 0.0)
    clock.pass_(0.3)
    assert plant.command(CHUNK, 0.1) == pytest.approx(0.2)
    assert plant.command(CHUNK, 0.4) == 0.0
    assert [start for start, _ in plant.followed] == [0.0, 0.4]


def test_a_plant_may_need_its_chunks_some_time_before_they_start() -> None:
    plant, clock = standing(lead=0.05)
    plant.observe(0.0)
    assert plant.command(CHUNK, 0.0) == 0.0
    assert plant.clock.now() == pytest.approx(-0.05)
    assert plant.observe(-1.0).time == pytest.approx(-0.05)  # no clock went back
    clock.pass_(0.15)
    assert plant.command(CHUNK, 0.12) == pytest.approx(0.03)
    assert plant.command(CHUNK, 0.16) == 0.0


@pytest.mark.parametrize("start", [0.0, 0.2, 0.4])
def test_chunks_are_commanded_in_order_and_once(start: float) -> None:
    plant, _ = standing()
    plant.command(CHUNK, 0.0)
    plant.command(CHUNK, 0.4)
    with pytest.raises(SpecificationError, match=r"LoggingPlant .* starts at 0\.400 s"):
        plant.command(CHUNK, start)
    assert len(plant.followed) == 2


def test_after_the_stop_nothing_is_commanded() -> None:
    plant, _ = standing()
    plant.command(CHUNK, 0.0)
    plant.stop()
    plant.stop()
    assert plant.rests == 1
    with pytest.raises(SpecificationError, match="LoggingPlant was commanded after it had been"):
        plant.command(CHUNK, 1.0)


def test_a_plant_that_observes_nothing_is_named() -> None:
    class Blind(LoggingPlant):
        def _observe(self, until: float) -> Any:
            return None

    with (
        Blind() as plant,
        pytest.raises(SpecificationError, match="Blind observed None; it must be"),
    ):
        plant.observe(0.0)


def test_a_plant_that_was_never_commanded_is_stopped_and_closed_too() -> None:
    closed = []
    with LoggingPlant() as plant:
        plant.closing.callback(lambda: closed.append(plant.rests))
    assert closed == [1]


def test_the_stop_comes_before_the_error_and_never_hides_it() -> None:
    class Stuck(LoggingPlant):
        def _follow(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
            if chunks is None:
                raise OSError("the brake is stuck")

    with pytest.raises(KeyError, match="mine") as caught, Stuck():
        raise KeyError("mine")
    assert caught.value.__notes__ == ["Stuck failed: OSError: the brake is stuck"]
    with pytest.raises(PlantError, match="the brake is stuck"), Stuck():
        pass


def test_the_stop_does_not_queue_behind_a_call_that_hangs() -> None:
    plant = SilentPlant(0)
    with pytest.raises(PlantError, match=r"SilentPlant has not answered for 0\.1 s"), plant:
        plant.observe(0.0)
    assert plant.rests == 1


def test_an_author_sees_one_thread() -> None:
    seen = set()

    class Where(LoggingPlant):
        def _observe(self, until: float) -> Step:
            seen.add(threading.get_ident())
            return super()._observe(until)

        def _follow(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
            seen.add(threading.get_ident())

    with Where() as plant:
        plant.observe(0.0)
        plant.command(CHUNK, 0.0)
        plant.observe(0.02)
    assert len(seen) == 1
    assert seen != {threading.get_ident()}


def test_a_simulation_says_that_its_clock_is_virtual() -> None:
    plant = SimulatedPlant(RecordingWorld(), KEYS, 10)
    assert plant.clock.virtual
    assert not LoggingPlant().clock.virtual
    zeros = torch.zeros(2, 4, 1)
    plant.command((zeros, zeros), 0.0)
    plant.observe(0.3)
    assert plant.clock.now() == pytest.approx(0.3)
    plant.stop()
    with pytest.raises(SpecificationError, match="no commanded chunk"):
        plant.observe(0.4)


def test_errors_of_a_simulation_stay_as_they_are() -> None:
    class Broken(RecordingWorld):
        def step(self, actions: tuple[Tensor, ...]) -> Step:
            raise ZeroDivisionError("mine")

    zeros = torch.zeros(2, 4, 1)
    with SimulatedPlant(Broken(), KEYS, 10) as plant:
        plant.command((zeros, zeros), 0.0)
        with pytest.raises(ZeroDivisionError, match="mine"):
            plant.observe(0.1)


def checked(make: Callable[[], Any]) -> None:
    check_plant(make, [torch.zeros(1, 1)], RATE)


def test_good_plants_pass() -> None:
    checked(LoggingPlant)

    def simulated() -> Plant:
        return SimulatedPlant(RecordingWorld(), [EpisodeKey(0, 0), EpisodeKey(0, 1)], 10)

    check_plant(simulated, [torch.zeros(2, 1), torch.zeros(2, 1)], 10)


class Overriding(LoggingPlant):
    """Has a stop of its own."""

    def stop(self) -> None:
        super().stop()


class Forgetful(Plant):
    """Does not call the base class."""

    def __init__(self) -> None:
        pass

    def _observe(self, until: float) -> Step:
        raise NotImplementedError

    def _follow(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
        raise NotImplementedError


class Lively(LoggingPlant):
    """Hands out the same tensor again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.state = torch.zeros(1)

    def _observe(self, until: float) -> Step:
        step = super()._observe(until)
        self.state.add_(1)
        return attrs.evolve(step, state=self.state)


class Lazy(LoggingPlant):
    """Comes back when the chunk is over."""

    def _follow(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
        super()._follow(chunks, start)
        if chunks is not None:
            time.sleep(0.15)


class Ghost(LoggingPlant):
    """Sees two worlds."""

    def _observe(self, until: float) -> Step:
        step = super()._observe(until)
        return attrs.evolve(step, observation={"tick": torch.zeros(2, 1)})


class Blind(LoggingPlant):
    """Observes what isn't finite."""

    def _observe(self, until: float) -> Step:
        step = super()._observe(until)
        return attrs.evolve(step, observation={"tick": torch.full((1, 1), torch.nan)})


class Secretive(LoggingPlant):
    """Its state can't leave the process."""

    def _observe(self, until: float) -> Step:
        return attrs.evolve(super()._observe(until), state=lambda: None)


class Ahead(LoggingPlant):
    """A simulation that goes one step too far."""

    def __init__(self) -> None:
        super().__init__(clock=VirtualClock())

    def _observe(self, until: float) -> Step:
        assert isinstance(self.clock, VirtualClock)
        self.clock.advance(until)
        return attrs.evolve(super()._observe(until), time=until + 1 / RATE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (object, "object must be a codi_core.Plant"),
        (Overriding, r"Overriding\.stop\(\) is final"),
        (Forgetful, r"Forgetful\.__init__\(\) must call super"),
        (Lively, "Lively: what it observed has changed afterwards"),
        (Lazy, r"Lazy\._follow\(\) took 0\.1.* it must return at once"),
        (Ghost, "Ghost: 'observation tick' has the shape .2, 1.; it must begin with the 1 worlds"),
        (Blind, "Blind: the observation 'tick' is not finite"),
        (Secretive, "Secretive: what it observes can't be sent to another process"),
        (Ahead, r"Ahead was to observe at 0\.020 s, and did so at 0\.040 s"),
    ],
)
def test_bad_plants_are_told_what_is_wrong(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        checked(make)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SilentPlant(3), "SilentPlant has not answered"),
        (StalePlant, "StalePlant observed at 0.000 s"),
        (lambda: ThrowingPlant(observations=2), "ThrowingPlant failed: OSError"),
    ],
    ids=["silent", "stale", "throwing"],
)
def test_plants_that_fail_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(PlantError, match=message):
        checked(make)
