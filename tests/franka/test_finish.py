"""When a cube counts as delivered, and that the arms then leave it where it is."""

from __future__ import annotations

import attrs
import pytest
import torch

from codi_core import experiments
from codi_core.tasks import EpisodeKey
from codi_core.testing import check_device
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.finish import CLEAR, RISING_SPEED, afterwards, delivered
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.robot.cell import ARMS
from codi_franka.robot.controller import HOME
from codi_franka.robot.frames import BaseFrames
from codi_franka.state import tcp_in_world
from franka.scenes import GOAL, OPEN, random_states, state

AT_GOAL = tuple(GOAL.tolist())
AROUND_IT = (None, AT_GOAL)


@pytest.mark.parametrize(
    ("cube", "hands", "width", "done"),
    [
        (AT_GOAL, (None, None), OPEN, True),
        (AT_GOAL, AROUND_IT, OPEN, True),
        (AT_GOAL, AROUND_IT, 0.05, False),  # held
        (AT_GOAL, (None, None), 0.05, True),  # by hands that are far away
        ((0.41, 0.02, 0.025), (None, None), OPEN, True),
        ((0.39, 0.0, 0.025), (None, None), OPEN, False),  # 6 cm away
        ((0.45, 0.0, 0.045), (None, None), OPEN, False),  # in the air
    ],
)
def test_a_cube_is_delivered_that_lies_at_its_goal_and_is_not_held(
    cube, hands, width, done
) -> None:
    assert delivered(state(cube, hands=hands, width=width)).tolist() == [done]


def test_hands_near_the_cube_rise_and_others_go_home() -> None:
    left, right = afterwards(state(AT_GOAL, hands=((-0.3, 0.2, 0.2), AT_GOAL)), 16)
    assert left.shape == right.shape == (1, 16, 7)
    assert torch.equal(right[0, 0, :6], torch.tensor([0.0, 0.0, RISING_SPEED, 0.0, 0.0, 0.0]))
    assert left[0, 0, 2] > 0.05  # home is higher, and further to the middle
    assert left[0, 0, 1] < -0.05
    assert (left[..., 6] == OPEN).all()
    at_home = afterwards(state(AT_GOAL), 16)
    assert all(chunk[..., :6].abs().max() < 2e-2 for chunk in at_home)


def test_the_arms_leave_the_cube_and_come_home() -> None:
    """In physics, from a hand around the cube: 8 s in replans of four steps."""
    environment = FrankaEnvironment(HandoffOptions(randomize=False), MujocoMaker())
    environment.reset([EpisodeKey(0, 0)])
    step = environment.restore(state(AT_GOAL, hands=AROUND_IT))
    for _ in range(20):
        assert bool(delivered(step.state))
        chunks = afterwards(step.state, 16)
        for tick in range(4):
            step = environment.step(tuple(chunk[:, tick] for chunk in chunks))
    here = environment.state
    assert (here.cube_position[0] - GOAL).norm() < 5e-3
    home = tcp_in_world(
        attrs.evolve(here, joint_position=torch.tensor(HOME).expand(1, 2, 7)), BaseFrames.of(ARMS)
    )
    hands = tcp_in_world(here, BaseFrames.of(ARMS))
    assert (hands - home).norm(dim=-1).max() < 0.03
    assert (hands[0] - GOAL).norm(dim=-1).min() > CLEAR


def test_the_end_is_known_wherever_the_state_is() -> None:
    there = random_states(4)

    def run(device: str):
        moved = there.to(device)
        return delivered(moved), *afterwards(moved, 16)

    check_device(run)


def test_the_paper_knows_no_end() -> None:
    assert experiments.prepare("franka-handoff").config.finish
    assert not experiments.prepare("franka-handoff", preset="paper").config.finish
