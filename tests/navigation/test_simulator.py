"""The simulator of navigation keeps the contract, with contacts and walls, and on any device."""

from __future__ import annotations

import attrs
import pytest
import torch

from codi_core.execution.devices import to_device
from codi_core.testing import Drive, check_device, check_simulator
from codi_navigation.simulation.simulator import NavigationSimulator
from codi_navigation.vehicles import Team
from tests.navigation.worlds import random_state

ROBOTS = 5


def drive(vehicle: str) -> Drive:
    """Robots all over a map with obstacles, where some overlap, with wild commands."""
    state = random_state(3, ROBOTS, vehicle, worlds=4)
    generator = torch.Generator().manual_seed(0)
    return Drive(state, 2 * torch.randn(6, 4, ROBOTS, 2, generator=generator), 2)


@pytest.mark.parametrize("vehicle", ["holonomic", "unicycle"])
def test_it_keeps_the_contract(vehicle: str) -> None:
    team, driven = Team.of(vehicle, ROBOTS), drive(vehicle)
    one = driven.state.of_worlds(torch.tensor([1]))
    check_simulator(
        lambda copies: NavigationSimulator(team, driven.state.of_worlds(torch.arange(copies))),
        driven,
        broken=attrs.evolve(one, position=torch.full_like(one.position, torch.nan)),
    )


def test_periods_in_one_call_are_those_of_several() -> None:
    """Contacts and the least gap are those of all of them."""
    team, driven = Team.of("holonomic", ROBOTS), drive("holonomic")
    commands = (driven.state.position[:, :1] - driven.state.position) * 5.0
    once, often = (NavigationSimulator(team, driven.state) for _ in range(2))
    whole, parts = once.step(commands, 5), [often.step(commands, 1) for _ in range(5)]
    assert torch.equal(whole.state.position, parts[-1].state.position)
    touched = torch.stack([part.robot_contact for part in parts])
    assert torch.equal(whole.robot_contact, touched.any(0))
    assert touched.any() and not touched.all()
    assert torch.equal(whole.closest, torch.stack([part.closest for part in parts]).amin(0))


def test_worlds_are_driven_where_their_state_is() -> None:
    team, driven = Team.of("unicycle", ROBOTS), drive("unicycle")

    def run(device: str) -> tuple[torch.Tensor, ...]:
        simulator = NavigationSimulator(team, to_device(driven.state, device))
        rows = torch.tensor([0, 2])
        simulator.set_state(to_device(driven.state.of_worlds(rows), device), rows)
        seen = simulator.step(driven.targets[0][rows].to(device), 2, rows)
        return seen.state.position, seen.robot_contact, seen.valid, simulator.look().closest

    check_device(run)
