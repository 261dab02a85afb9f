"""The kinematic predictor against its recurrences stepped in plain loops, and its grasps."""

import attrs
import pytest
import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_franka.geometry import quaternion_exp, quaternion_from_matrix, quaternion_multiply
from codi_franka.handoff.costs import GoalCost
from codi_franka.prediction.kinematic import KinematicPredictor, KinematicSettings
from codi_franka.prediction.trajectory import HandoffTrajectory
from codi_franka.robot.cell import ARM_BASES, ARMS, CUBE_SIZE
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.state import FrankaState, hands_in_base, tcp_in_world, tensors
from franka.scenes import (
    GOAL,
    OPEN,
    SHUT,
    chunk,
    joint_chunk,
    random_chunks,
    random_states,
    state,
)

PERIOD = 0.1
SETTINGS = KinematicSettings()
STRAIGHT = KinematicSettings(response_delay=0.0)
"""Hands that follow their commands on straight lines."""
BASES = BaseFrames.of(ARMS)


def predict(
    start: FrankaState, chunks: tuple[Tensor, ...], settings: KinematicSettings = SETTINGS
) -> HandoffTrajectory:
    return KinematicPredictor(ARMS, settings).predict(start, chunks).trajectory


def to_base(points: Tensor, arm: int) -> Tensor:
    """World points (..., 3) in an arm's base frame."""
    return (points - BASES.position[arm]) @ BASES.rotation[arm]


def row(start: FrankaState, world: int) -> FrankaState:
    return attrs.evolve(start, **{n: v[world : world + 1] for n, v in tensors(start)})


def stepped_velocities(first: Tensor, commands: Tensor) -> tuple[Tensor, Tensor]:
    """Displacements (K, 3) and velocities of the lag, one control step after the other."""
    velocity, moves = first.double(), []
    for command in commands.double():
        share = SETTINGS.prompt_share
        moves.append(PERIOD * ((1 - share) * velocity + share * command))
        velocity = SETTINGS.velocity_decay * velocity + (1 - SETTINGS.velocity_decay) * command
    return torch.stack(moves), velocity


# -- hands --------------------------------------------------------------------------------------


def test_free_hands_follow_the_recurrence() -> None:
    start = random_states(3)
    chunks = random_chunks(3, 4, 16)
    path = predict(start, chunks, STRAIGHT)
    hands = hands_in_base(start)
    compared = 0
    for world, sample, arm in [(w, m, n) for w in range(3) for m in range(4) for n in range(2)]:
        moves, _ = stepped_velocities(
            hands.linear_velocity[world, arm], _limited(chunks[arm][world, sample, :, :3], 0.5)
        )
        expected = hands.position[world, arm] + moves.cumsum(0)
        shoulder = torch.tensor([0.0, 0.0, 0.333])
        inside = (expected - shoulder).norm(dim=-1).max() < SETTINGS.reach
        if not inside or expected[:, 2].min() < SETTINGS.lowest_tcp:
            continue
        found = to_base(path.hand_position[world, sample, :, arm], arm)
        torch.testing.assert_close(found.double(), expected, atol=3e-6, rtol=0)
        compared += 1
    assert compared >= 18


def test_a_hand_that_is_told_to_stop_coasts_a_little() -> None:
    """The sum of the decaying displacements is (1 - h) v T / (1 - d)."""
    start = state()
    start = attrs.evolve(start, joint_velocity=0.2 * torch.ones(1, 2, 7))
    rest = chunk((40, (0.0, 0.0, 0.0), OPEN))
    moved = predict(start, joint_chunk(rest)).hand_position[0, 0, -1, 0]
    hands = hands_in_base(start)
    ratio = (1 - SETTINGS.prompt_share) / (1 - SETTINGS.velocity_decay)
    expected = hands.position[0, 0] + ratio * PERIOD * hands.linear_velocity[0, 0]
    torch.testing.assert_close(to_base(moved, 0), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("speed", [0.5, 3.0, 40.0, 1e6])
def test_wild_commands_are_shortened_to_the_speed_limit(speed: float) -> None:
    direction = torch.tensor([0.6, 0.0, -0.8])
    wild = chunk((3, tuple((speed * direction).tolist()), OPEN))
    limit = chunk((3, tuple((0.5 * direction).tolist()), OPEN))
    found, expected = (predict(state(), joint_chunk(c)).hand_position for c in (wild, limit))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_no_sample_leaves_the_reach_of_its_arm_or_enters_the_table() -> None:
    wild = tuple(40.0 * value for value in random_chunks(2, 32, 16, seed=3))
    path = predict(random_states(2), wild)
    assert path.hand_position.isfinite().all()
    for arm in range(2):
        local = to_base(path.hand_position[..., arm, :], arm)
        distance = (local - torch.tensor([0.0, 0.0, 0.333])).norm(dim=-1)
        assert distance.max() <= SETTINGS.reach + 1e-5
        assert local[..., 2].min() >= SETTINGS.lowest_tcp - 1e-6
    assert path.gripper_width.min() >= 0.0
    assert path.gripper_width.max() <= OPEN + 1e-6
    assert path.cube_position[..., 2].min() >= CUBE_SIZE / 2 - 1e-6


def test_a_step_up_from_the_floor_acts_at_once() -> None:
    """However long a hand was pushed down, it leaves the floor as soon as it is pulled up."""
    up = (3, (0.0, 0.0, 0.4), OPEN)
    heights = []
    for pushes in (5, 12):
        down = (pushes, (0.0, 0.0, -0.5), OPEN)
        plan = joint_chunk(chunk(down, up))
        path = predict(state(hands=((-0.2, 0.0, 0.03), None)), plan, STRAIGHT)
        heights.append(path.hand_position[0, 0, pushes - 1 :, 0, 2])
    short, long = heights
    assert short[0] == pytest.approx(SETTINGS.lowest_tcp, abs=1e-6)
    torch.testing.assert_close(long, short, atol=1e-3, rtol=0)
    assert (long[2:].diff() > 0.01).all()


def test_widths_approach_their_commands_exponentially() -> None:
    plan = chunk((4, (0.0, 0.0, 0.0), SHUT), (4, (0.0, 0.0, 0.0), 0.5))
    found = predict(state(width=0.06), joint_chunk(plan)).gripper_width[0, 0, :, 0]
    width, expected = 0.06, []
    for command in [0.0] * 4 + [OPEN] * 4:  # 0.5 m is saturated
        width = SETTINGS.width_decay * width + (1 - SETTINGS.width_decay) * command
        expected.append(width)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_orientations_are_the_products_of_the_steps() -> None:
    start, chunks = random_states(2), random_chunks(2, 3, 16, seed=5)
    found = predict(start, chunks).hand_quaternion()
    assert found.shape == (2, 3, 16, 2, 4)
    hands = hands_in_base(start)
    for world, sample, arm in [(w, m, n) for w in range(2) for m in range(3) for n in range(2)]:
        steps, _ = stepped_velocities(
            hands.angular_velocity[world, arm], _limited(chunks[arm][world, sample, :, 3:6], 2.0)
        )
        quaternion = quaternion_from_matrix(hands.rotation[world, arm].double())
        base = torch.tensor(ARM_BASES[ARMS[arm]].quaternion, dtype=torch.float64)
        for k, step in enumerate(steps):
            quaternion = quaternion_multiply(quaternion_exp(step), quaternion)
            expected = quaternion_multiply(base, quaternion)
            value = found[world, sample, k, arm].double()
            assert abs((value * expected).sum().item()) == pytest.approx(1.0, abs=1e-6)


def test_a_turning_arm_leaves_the_straight_line_as_its_joints_do() -> None:
    """Against the controller on exact joints with the same lag; straight lines are far worse."""
    start, controller = random_states(16), EndEffectorController()
    generator = torch.Generator().manual_seed(2)
    command = 0.25 * torch.randn(16, 1, 2, 7, generator=generator)
    command[..., 3:5], command[..., 5] = 0.0, 2.0 * command[..., 5]
    position, velocity, decay = start.joint_position, start.joint_velocity, SETTINGS.velocity_decay
    for _ in range(8):
        wanted = controller.joint_velocity(position, command[:, 0, :, :6])
        share = SETTINGS.prompt_share
        position = position + PERIOD * ((1 - share) * velocity + share * wanted)
        velocity = decay * velocity + (1 - decay) * wanted
    truth = BASES.points_to_world(forward_kinematics(position)[0])
    chunks = tuple(command[:, :, arm].unsqueeze(2).expand(-1, -1, 8, -1) for arm in range(2))
    bent, straight = (
        (predict(start, chunks, s).hand_position[:, 0, -1] - truth).norm(dim=-1).median()
        for s in (SETTINGS, STRAIGHT)
    )
    assert bent < 0.015
    assert bent < 0.6 * straight


def _limited(vector: Tensor, length: float) -> Tensor:
    return vector * (length / vector.norm(dim=-1, keepdim=True).clamp_min(length))


# -- the cube -----------------------------------------------------------------------------------

AT = (-0.2, 0.05, 0.025)
STAY = (0.0, 0.0, 0.0)


def test_a_cube_is_grasped_carried_released_and_falls() -> None:
    plan = chunk((3, STAY, SHUT), (6, (0.2, 0.0, 0.3), SHUT), (7, STAY, OPEN))
    path = predict(state(cube=AT, hands=(AT, None)), joint_chunk(plan))
    cube, hand = path.cube_position[0, 0], path.hand_position[0, 0, :, 0]
    torch.testing.assert_close(cube[2], torch.tensor(AT), atol=2e-3, rtol=0)
    offset = cube - hand
    torch.testing.assert_close(offset[1:9], offset[1:2].expand(8, 3), atol=1e-5, rtol=0)
    assert cube[8, 2] > 0.14
    assert cube[8, 0] > AT[0] + 0.08
    # The gripper is open again after the second step of opening.
    opened = int((path.gripper_width[0, 0, 9:, 0] >= CUBE_SIZE).float().argmax()) + 9
    falls = cube[opened:, 2]
    expected = (cube[opened - 1, 2] - 0.05 * torch.arange(1, 17 - opened)).clamp_min(0.025)
    assert falls[0] < cube[opened - 1, 2]
    torch.testing.assert_close(falls[2:], expected[2:], atol=0.03, rtol=0)
    assert falls[-1] == pytest.approx(CUBE_SIZE / 2)
    torch.testing.assert_close(cube[-1, :2], cube[opened, :2])


def test_the_cube_stays_where_it_is_when_no_gripper_closes_around_it() -> None:
    away = chunk((6, (0.1, 0.1, 0.0), SHUT))
    around = chunk((6, STAY, OPEN))
    for start, plan in ((state(cube=AT), away), (state(cube=AT, hands=(AT, None)), around)):
        path = predict(start, joint_chunk(plan)).cube_position[0, 0]
        torch.testing.assert_close(path, torch.tensor(AT).expand(6, 3))


@pytest.mark.parametrize(
    ("offset", "grasped"),
    [((0.006, 0.0, 0.0), True), ((0.0, 0.0, 0.009), True), ((0.012, 0.0, 0.0), False),
     ((0.0, 0.0, 0.02), False)],
)  # fmt: skip
def test_only_a_cube_between_the_fingers_is_grasped(offset, grasped: bool) -> None:
    hand = tuple(a + o for a, o in zip((-0.2, 0.0, 0.03), offset, strict=True))
    plan = chunk((4, STAY, SHUT), (8, (0.0, 0.0, 0.3), SHUT))
    path = predict(state(cube=(-0.2, 0.0, 0.03), hands=(hand, None)), joint_chunk(plan))
    lifted = path.cube_position[0, 0, -1, 2] > 0.1
    assert bool(lifted) is grasped


def test_a_cube_that_is_held_at_the_start_stays_in_the_hand() -> None:
    start = state(cube=(-0.2, 0.0, 0.2), hands=((-0.2, 0.0, 0.2), None), width=CUBE_SIZE)
    start.gripper_width[:, 1] = OPEN
    plan = chunk((8, (0.2, 0.0, 0.0), SHUT))
    path = predict(start, joint_chunk(plan))
    moved = path.hand_position[0, 0, -1, 0] - path.hand_position[0, 0, 0, 0]
    assert moved[0] > 0.1
    torch.testing.assert_close(
        path.cube_position[0, 0, -1] - path.cube_position[0, 0, 0], moved, atol=1e-5, rtol=0
    )


def test_the_right_arm_takes_over_what_the_left_one_lets_go() -> None:
    """Both hold the cube; the left one opens, the right one carries it away."""
    at = (0.0, 0.0, 0.2)
    start = state(cube=at, hands=((-0.005, 0.0, 0.2), (0.005, 0.0, 0.2)), width=CUBE_SIZE)
    left = chunk((16, STAY, OPEN))
    right = chunk((4, STAY, SHUT), (12, (-0.2, 0.0, 0.0), SHUT))  # away from the left base
    cube = predict(start, joint_chunk(left, right)).cube_position[0, 0]
    assert cube[-1, 0] > 0.15
    assert cube[-1, 2] == pytest.approx(0.2, abs=0.02)


def stepped_cube(start: FrankaState, path: HandoffTrajectory, held: list[bool]) -> Tensor:
    """The cube (K, 3) of one world and sample, one control step after the other."""
    cube = start.cube_position[0].double()
    hands, widths = path.hand_position[0, 0].double(), path.gripper_width[0, 0]
    before, was_narrow = tcp_in_world(start, BASES)[0].double(), start.gripper_width[0] < CUBE_SIZE
    reach = torch.tensor([SETTINGS.grasp_radius] * 2 + [SETTINGS.grasp_height])
    found = []
    for hand, width in zip(hands, widths, strict=True):
        narrow = width < CUBE_SIZE
        carrying = [n for n in range(2) if held[n] and narrow[n]]
        if carrying:
            cube = cube + (hand - before)[carrying].mean(0)
        near = ((hand - cube).abs() < reach).all(-1)
        closing = narrow & ~was_narrow
        held = [bool(narrow[n] and (held[n] or (closing[n] and near[n]))) for n in range(2)]
        cube = cube if any(held) else cube - torch.tensor([0.0, 0.0, SETTINGS.fall])
        cube = torch.cat((cube[:2], cube[2:].clamp_min(CUBE_SIZE / 2)))
        found.append(cube)
        before, was_narrow = hand, narrow
    return torch.stack(found)


@pytest.mark.parametrize("seed", range(3))
def test_the_cube_is_where_a_plain_loop_over_steps_puts_it(seed: int) -> None:
    """With grippers that open and close at random near it: grasps, hand-overs and falls."""
    at = (0.0, 0.0, 0.2)
    start = state(cube=at, hands=((-0.005, 0.0, 0.2), (0.005, 0.0, 0.2)), width=CUBE_SIZE)
    chunks = random_chunks(1, 60, 16, seed=seed)
    chunks = tuple(torch.cat((0.02 * c[..., :6], c[..., 6:]), -1) for c in chunks)
    path = predict(start, chunks)
    outcomes = set()
    for sample in range(60):
        only = HandoffTrajectory(
            path.hand_position[:, sample : sample + 1],
            path.gripper_width[:, sample : sample + 1],
            path.cube_position[:, sample : sample + 1],
            path.goal,
            path.hand_quaternion,
        )
        expected = stepped_cube(start, only, [True, True])
        found = path.cube_position[0, sample]
        torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=0)
        outcomes.add(round(float(found[-1, 2]), 1))
    assert len(outcomes) > 1  # some are dropped, some are not


# -- batches and gradients ----------------------------------------------------------------------


def mixed_worlds() -> FrankaState:
    """A held cube, one between open fingers, one far away, and one in the air."""
    held = state(cube=(-0.2, 0.0, 0.2), hands=((-0.2, 0.0, 0.2), None), width=CUBE_SIZE)
    between = state(cube=AT, hands=(AT, None))
    far, flying = state(cube=(0.3, 0.3, 0.025)), state(cube=(0.3, 0.3, 0.4))
    parts = [dict(tensors(world)) for world in (held, between, far, flying)]
    return FrankaState(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def test_a_world_and_a_sample_are_predicted_alike_alone_and_in_a_batch() -> None:
    start, chunks = mixed_worlds(), random_chunks(4, 5, 16, seed=7)
    together = predict(start, chunks)
    for world in range(4):
        for sample in range(5):
            own = tuple(c[world : world + 1, sample : sample + 1] for c in chunks)
            alone = predict(row(start, world), own)
            for name in ("hand_position", "gripper_width", "cube_position"):
                torch.testing.assert_close(
                    getattr(alone, name)[0, 0], getattr(together, name)[world, sample],
                    atol=1e-5, rtol=0, msg=lambda text, n=name, w=world: f"{n}, world {w}: {text}",
                )  # fmt: skip


@pytest.mark.parametrize("height", [CUBE_SIZE / 2, 0.31])
def test_a_cube_that_nothing_touches_falls_alike_beside_one_that_is_grasped(height: float) -> None:
    still = state(cube=(0.3, 0.2, height))
    grasped = state(cube=(-0.2, 0.0, 0.03), hands=((-0.2, 0.0, 0.03), None))
    both = attrs.evolve(
        still,
        **{name: torch.cat([value, getattr(grasped, name)]) for name, value in tensors(still)},
    )
    lift = joint_chunk(chunk((4, STAY, SHUT), (8, (0.0, 0.0, 0.3), SHUT)))
    alone = predict(still, lift).cube_position
    together = predict(both, tuple(part.expand(2, -1, -1, -1) for part in lift)).cube_position
    assert torch.equal(together[:1], alone)
    assert together[1, 0, -1, 2] > 0.1


def test_worlds_of_one_batch_may_have_goals_of_their_own() -> None:
    """Predicted and judged together as each of them alone."""
    goals = torch.tensor([[0.45, 0.0, 0.025], [-0.3, 0.2, 0.025]])
    start, chunks = attrs.evolve(random_states(2), goal=goals), random_chunks(2, 5, 16, seed=8)
    together = GoalCost()(predict(start, chunks))
    assert (together[0] - together[1]).abs().min() > 0.05
    for world in range(2):
        own = tuple(value[world : world + 1] for value in chunks)
        alone = GoalCost()(predict(row(start, world), own))
        torch.testing.assert_close(together[world : world + 1], alone, atol=1e-6, rtol=0)
    cube = predict(start, chunks).cube_position
    expected = (cube - goals[:, None, None]).norm(dim=-1).amin(-1) - GoalCost().threshold
    torch.testing.assert_close(together, expected)


def test_a_state_without_a_goal_is_refused() -> None:
    with pytest.raises(SpecificationError, match="no goal"):
        predict(attrs.evolve(state(), goal=None), random_chunks(1, 1, 4))


def test_what_is_kept_for_a_state_does_not_leak_into_the_next() -> None:
    predictor, chunks = KinematicPredictor(ARMS), random_chunks(1, 2, 8)
    first, second = state(cube=AT), state(cube=(0.1, 0.1, 0.025), hands=(AT, None))
    for start in (first, second, first):
        found = predictor.predict(start, chunks).trajectory
        torch.testing.assert_close(found.hand_position, predict(start, chunks).hand_position)
        torch.testing.assert_close(found.cube_position, predict(start, chunks).cube_position)


def test_samples_in_which_arms_meet_are_not_lost() -> None:
    """That arms meet is for the costs to judge; no sample is invalid."""
    arm = torch.zeros(1, 3, 12, 7)
    arm[..., 0] = torch.tensor([0.5, -0.3, 0.0])[:, None]
    prediction = KinematicPredictor(ARMS).predict(state(), (arm, arm))
    assert prediction.valid is None
    torch.testing.assert_close(prediction.trajectory.goal, GOAL.expand(1, 1, 1, 3))
    hands = prediction.trajectory.hand_position
    assert hands.isfinite().all()
    gap = (hands[0, ..., 0, :] - hands[0, ..., 1, :]).norm(dim=-1)
    assert gap[0].min() < 0.1 < gap[2].min()


@pytest.mark.parametrize("steps", [1, 5, 16])
def test_any_horizon_is_predicted(steps: int) -> None:
    path = predict(random_states(2), random_chunks(2, 3, steps))
    assert path.hand_position.shape == (2, 3, steps, 2, 3)
    assert path.gripper_width.shape == (2, 3, steps, 2)
    assert path.cube_position.shape == (2, 3, steps, 3)


def test_gradients_flow_from_positions_to_commands() -> None:
    plan = chunk((3, STAY, SHUT), (5, (0.1, 0.05, 0.2), SHUT))
    left, right = joint_chunk(plan)
    left.requires_grad_(True)
    path = predict(state(cube=AT, hands=(AT, None)), (left, right), STRAIGHT)
    gain = PERIOD * SETTINGS.prompt_share
    (last,) = torch.autograd.grad(path.hand_position[0, 0, -1, 0, 0], left, retain_graph=True)
    assert last[0, 0, -1, 0].item() == pytest.approx(gain, abs=1e-6)
    (carried,) = torch.autograd.grad(path.cube_position[0, 0, -1, 2], left)
    assert (carried[0, 0, 3:, 2] > 0).all()
    assert carried.isfinite().all()
