"""What the arms' policies see: base frames and the cube's symmetry."""

import itertools
import math

import attrs
import pytest
import torch
from torch import Tensor

from codi_core.policies import AgentView
from codi_franka.geometry import (
    quaternion_exp,
    quaternion_from_matrix,
    quaternion_multiply,
    quaternion_to_matrix,
)
from codi_franka.observation import (
    ENVIRONMENT,
    ENVIRONMENT_NAMES,
    NEAR,
    SHAPES,
    STATE,
    STATE_NAMES,
    nearest_cube_rotation,
    observe,
    towards,
)
from codi_franka.robot.cell import ARMS
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.state import tensors
from franka.scenes import random_states, state

HALF_TURN = torch.tensor([0.0, 0.0, 0.0, 1.0])


def half_turned(worlds):
    """The same worlds turned by 180 degrees about z: the arms change places."""
    turn = torch.tensor([-1.0, -1.0, 1.0])
    return attrs.evolve(
        worlds,
        joint_position=worlds.joint_position.flip(1),
        joint_velocity=worlds.joint_velocity.flip(1),
        gripper_width=worlds.gripper_width.flip(1),
        cube_position=worlds.cube_position * turn,
        cube_quaternion=quaternion_multiply(HALF_TURN, worlds.cube_quaternion),
        cube_velocity=worlds.cube_velocity * turn.repeat(2),
    )


def symmetries() -> Tensor:
    """The cube's 24 rotations, as the group that two quarter turns generate: (24, 3, 3)."""
    quarter = [quaternion_exp(math.pi / 2 * axis) for axis in torch.eye(3)[:2]]
    generators = [quaternion_to_matrix(q).round() for q in quarter]
    found = {tuple(torch.eye(3).flatten().tolist())}
    while True:
        products = {
            tuple((g @ torch.tensor(m).reshape(3, 3)).flatten().tolist())
            for g, m in itertools.product(generators, found)
        }
        if products <= found:
            return torch.tensor(sorted(found)).reshape(-1, 3, 3)
        found |= products


def random_rotations(count: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn(count, 4, generator=generator, dtype=dtype)
    return quaternion_to_matrix(vector / vector.norm(dim=-1, keepdim=True))


def angle(a: Tensor, b: Tensor) -> Tensor:
    """The angle [rad] between rotations (..., 3, 3)."""
    trace = (a.mT @ b).diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.arccos(((trace - 1) / 2).clamp(-1, 1))


def test_turned_worlds_look_alike_to_the_other_arm() -> None:
    worlds = random_states(64)
    here, there = observe(worlds, ARMS), observe(half_turned(worlds), ARMS)
    for mine, other in (("left", "right"), ("right", "left")):
        for name in (STATE, ENVIRONMENT):
            torch.testing.assert_close(
                there[f"{mine}/{name}"], here[f"{other}/{name}"], atol=2e-5, rtol=0
            )


def test_the_parts_of_an_observation_are_where_their_names_say() -> None:
    worlds = random_states(8)
    seen = AgentView("right")(observe(worlds, ARMS))
    assert {name: value.shape[1:] for name, value in seen.items()} == SHAPES
    own, around = seen[STATE], seen[ENVIRONMENT]
    assert (own.shape[1], around.shape[1]) == (len(STATE_NAMES), len(ENVIRONMENT_NAMES))
    position, rotation = forward_kinematics(worlds.joint_position[:, 1])
    torch.testing.assert_close(own[:, :3], position)
    torch.testing.assert_close(own[:, 3:6], rotation[..., 0])
    torch.testing.assert_close(own[:, 6:9], rotation[..., 1])
    torch.testing.assert_close(own[:, 15], worlds.gripper_width[:, 1])
    # The right base stands at x = 0.65 and looks back along -x.
    cube = torch.tensor([0.65, 0.0, 0.0]) + worlds.cube_position * torch.tensor([-1.0, -1.0, 1.0])
    torch.testing.assert_close(around[:, :3], cube)
    torch.testing.assert_close(around[:, 9:12], cube - position, atol=1e-6, rtol=0)
    offset = (rotation.mT @ (cube - position).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(around[:, 12:15], torch.tanh(offset / NEAR), atol=1e-5, rtol=0)


def test_the_cube_in_the_hand_is_turned_by_the_smallest_angle_that_looks_alike() -> None:
    worlds = random_states(64)
    seen = AgentView("left")(observe(worlds, ARMS))[ENVIRONMENT]
    _, rotation = forward_kinematics(worlds.joint_position[:, 0])
    cube = quaternion_to_matrix(worlds.cube_quaternion)  # the left base is not turned
    candidates = rotation.mT.unsqueeze(1) @ cube.unsqueeze(1) @ symmetries()
    smallest = angle(torch.eye(3), candidates).amin(1)
    torch.testing.assert_close(seen[:, 15:].norm(dim=-1), smallest, atol=2e-3, rtol=0)


def test_the_hand_velocity_is_the_derivative_of_the_hand_position() -> None:
    worlds = random_states(8)
    doubled = attrs.evolve(
        worlds,
        joint_position=worlds.joint_position.double(),
        joint_velocity=worlds.joint_velocity.double(),
    )
    step = 1e-6 * doubled.joint_velocity[:, 0]
    after, _ = forward_kinematics(doubled.joint_position[:, 0] + step)
    before, _ = forward_kinematics(doubled.joint_position[:, 0] - step)
    own = observe(worlds, ARMS)[f"left/{STATE}"]
    torch.testing.assert_close(own[:, 9:12].double(), (after - before) / 2e-6, atol=1e-5, rtol=0)


def test_all_24_ways_to_put_a_cube_down_look_the_same() -> None:
    base = state(cube=(-0.1, 0.12, 0.025), yaw=0.3, worlds=24)
    turns = symmetries()
    assert len(turns) == 24
    reference = observe(base, ARMS)
    turned = quaternion_multiply(base.cube_quaternion, quaternion_from_matrix(turns))
    found = observe(attrs.evolve(base, cube_quaternion=turned), ARMS)
    for name, value in reference.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=0)


def test_the_canonical_rotation_is_the_nearest_of_the_24() -> None:
    rotation, reference = random_rotations(500, 1), random_rotations(500, 2)
    found = nearest_cube_rotation(rotation, reference)
    candidates = rotation.unsqueeze(1) @ symmetries().double()
    brute = angle(reference.unsqueeze(1), candidates).min(-1)
    torch.testing.assert_close(angle(reference, found), brute.values, atol=1e-7, rtol=0)
    clear = brute.values < angle(reference.unsqueeze(1), candidates).sort(-1).values[:, 1] - 1e-6
    expected = candidates[torch.arange(500), brute.indices]
    torch.testing.assert_close(found[clear], expected[clear])
    assert clear.sum() > 490
    assert angle(reference, found).max() <= math.radians(62.8)  # the octahedral group's bound


@pytest.mark.parametrize("degrees", [0.0, 30.0, -44.0, 44.0])
def test_a_cube_on_the_table_turns_at_most_45_degrees_from_the_line_of_sight(
    degrees: float,
) -> None:
    cube = torch.tensor([0.3, 0.2, 0.025], dtype=torch.float64)
    bearing = math.atan2(0.2, 0.3)
    for quarter in range(4):
        yaw = bearing + math.radians(degrees) + quarter * math.pi / 2
        rotation = quaternion_to_matrix(
            quaternion_exp(torch.tensor([0.0, 0.0, yaw], dtype=torch.float64))
        )
        found = nearest_cube_rotation(rotation, towards(cube))
        relative = towards(cube).mT @ found
        seen = math.degrees(math.atan2(relative[1, 0], relative[0, 0]))
        assert seen == pytest.approx(degrees, abs=1e-6)
        assert found[2, 2].item() == pytest.approx(1.0)


def test_towards_points_x_at_the_point() -> None:
    point = torch.tensor([[0.3, -0.4, 0.7], [-0.2, 0.0, 0.1]])
    expected = torch.tensor([[0.6, -0.8, 0.0], [-1.0, 0.0, 0.0]])
    torch.testing.assert_close(towards(point)[..., 0], expected)
    torch.testing.assert_close(torch.linalg.det(towards(point)), torch.ones(2))


def test_worlds_do_not_influence_one_another() -> None:
    worlds = random_states(5)
    together = observe(worlds, ARMS)
    for row in range(5):
        alone = attrs.evolve(worlds, **{n: v[row : row + 1] for n, v in tensors(worlds)})
        for name, value in observe(alone, ARMS).items():
            torch.testing.assert_close(value[0], together[name][row], atol=1e-6, rtol=1e-6)
