import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_navigation.vehicles import VEHICLES, Holonomic, Team, Unicycle

number = st.floats(-5, 5, width=32)


def commands(seed, *shape):
    return 3 * torch.randn(16, 2, *shape, generator=torch.Generator().manual_seed(seed))


def test_a_unicycle_drives_the_arc_that_fine_steps_approach():
    unicycle = Unicycle()
    velocities = torch.tensor([[1.0, 2.0], [0.5, -3.0], [-0.5, 1.0], [0.8, 0.0]])
    path = unicycle.move(torch.tensor([0.3, -0.2, 0.5]), velocities, 0.1)
    x, y, heading = 0.3, -0.2, 0.5
    fine = 20_000
    for step, (forward, turning) in enumerate(velocities.tolist()):
        for _ in range(fine):
            x += 0.1 / fine * forward * math.cos(heading)
            y += 0.1 / fine * forward * math.sin(heading)
            heading += 0.1 / fine * turning
        assert path[step].tolist() == pytest.approx([x, y, heading], abs=2e-5)


def test_a_unicycle_that_turns_and_drives_for_a_full_circle_comes_back():
    velocities = torch.tensor([0.7, 2.0]).expand(10, 2)
    path = Unicycle().move(torch.zeros(3), velocities, math.pi / 10)
    assert path[-1].tolist() == pytest.approx([0, 0, 2 * math.pi], abs=1e-5)
    # Half way round it is a diameter to the left.
    assert path[4, :2].tolist() == pytest.approx([0, 0.7], abs=1e-5)


@pytest.mark.parametrize("kind", VEHICLES)
@given(seed=st.integers(0, 50))
def test_limits_of_speed_and_acceleration_hold(kind, seed):
    velocities = VEHICLES[kind].respond(torch.zeros(2, 7), commands(seed, 7))
    steps = torch.diff(velocities, dim=0, prepend=torch.zeros(1, 2, 7))
    if kind == "holonomic":
        assert (velocities.norm(dim=1) <= 1 + 1e-5).all()
        assert (steps.norm(dim=1) <= 0.2 + 1e-5).all()
    else:
        assert ((velocities[:, 0] <= 1) & (velocities[:, 0] >= -0.5)).all()
        assert (velocities[:, 1].abs() <= 3).all()
        assert (steps[:, 0].abs() <= 0.2 + 1e-5).all()
        assert (steps[:, 1].abs() <= 1.2 + 1e-5).all()


@given(x=number, y=number)
def test_a_command_within_reach_is_followed_at_once(x, y):
    length = math.hypot(x, y) or 1.0
    near = torch.tensor([x, y]) / max(length, 0.19) * 0.19
    found = Holonomic().respond(torch.zeros(2), near.unsqueeze(0))[0]
    assert torch.allclose(found, near, atol=1e-6)


@pytest.mark.parametrize("kind", VEHICLES)
def test_all_axes_are_batched(kind):
    vehicle, wanted = VEHICLES[kind], commands(1, 2, 3, 5)
    together = vehicle.move(
        torch.zeros(3, 2, 3, 1), vehicle.respond(torch.zeros(2, 2, 3, 1), wanted), 0.1
    )
    alone = vehicle.move(
        torch.zeros(3), vehicle.respond(torch.zeros(2), wanted[:, :, 1, 2, 4]), 0.1
    )
    assert torch.allclose(together[:, :, 1, 2, 4], alone, atol=1e-6)


def test_a_mixed_team_moves_each_robot_as_its_kind_does():
    team, wanted = Team.of("mixed", 5), commands(2, 2, 5, 3)
    assert team.kinds == ("holonomic", "unicycle", "holonomic", "unicycle", "holonomic")
    velocities = team.respond(torch.zeros(2, 2, 5, 3), wanted)
    path = team.move(torch.zeros(3, 2, 5, 3), velocities, 0.1)
    for robot, kind in enumerate(team.kinds):
        vehicle = VEHICLES[kind]
        own = vehicle.respond(torch.zeros(2, 2, 3), wanted[:, :, :, robot])
        assert torch.equal(velocities[:, :, :, robot], own)
        alone = vehicle.move(torch.zeros(3, 2, 3), own, 0.1)
        assert torch.allclose(path[:, :, :, robot], alone, atol=1e-6)
