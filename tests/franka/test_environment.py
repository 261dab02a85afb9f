"""The environment: reproducible starts, failures without exceptions, and its sensors."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import attrs
import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from codi_core.errors import UsageError
from codi_core.tasks import EpisodeKey, Step
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.observation import observe
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.physics.sensors import FAR, HAND_BODIES, SensorReadings
from codi_franka.physics.variation import CubeVariation
from codi_franka.robot.cell import ARMS, CUBE_MASS, CUBE_SIZE
from codi_franka.state import FrankaState, tensors
from franka.driving import drive_to_grasp
from franka.scenes import OPEN, SHUT, chunk, random_chunks, state

EVENT_SHAPES = {
    "failed": (), "succeeded": (), "goal_distance_m": (), "arm_contact": (), "hand_distance_m": (),
    "cube_touched": (), "cube_speed_m_s": (), "guard_m_s": (), "left_only": (),
    "cube_position": (3,), "cube_quaternion": (4,), "hand_position": (2, 3),
    "joint_position": (2, 7), "gripper_width": (2,), "goal": (3,),
}  # fmt: skip


def keys(*numbers: int, seed: int = 1) -> list[EpisodeKey]:
    return [EpisodeKey(seed, number) for number in numbers]


def still(worlds: int, width: float = OPEN) -> tuple[Tensor, Tensor]:
    action = torch.zeros(worlds, 7)
    action[:, 6] = width
    return action, action


def make(**options) -> FrankaEnvironment:
    return FrankaEnvironment(HandoffOptions(**options), MujocoMaker(1))


# -- episodes -----------------------------------------------------------------------------------


def test_a_key_names_one_episode_whatever_the_batch() -> None:
    """Start, mass, friction and noise: a world alone runs as it does among others."""
    actions = random_chunks(4, 1, 5)
    together = make()
    steps = [together.reset(keys(0, 1, 2, 3))]
    steps += [together.step(tuple(a[:, 0, k] for a in actions)) for k in range(5)]
    for world in (0, 3):
        alone = make()
        own = [alone.reset(keys(world))]
        own += [alone.step(tuple(a[world : world + 1, 0, k] for a in actions)) for k in range(5)]
        for here, there in zip(own, steps, strict=True):
            for name, value in here.events.items():
                np.testing.assert_allclose(value[0], there.events[name][world], atol=1e-5)
            for name, seen in here.observation.items():
                expected = there.observation[name][world]
                torch.testing.assert_close(seen[0], expected, atol=2e-4, rtol=0)
        for name in ("body_mass", "geom_friction"):
            one, all_of = (e.simulator.batch.expand(name) for e in (alone, together))
            np.testing.assert_array_equal(one[0], all_of[world])


def test_resetting_again_starts_the_same_episode() -> None:
    environment = make()
    first = environment.reset(keys(5, 6))
    environment.step(still(2))
    again = environment.reset(keys(5, 6))
    assert again.time == 0.0
    for name, value in first.events.items():
        np.testing.assert_array_equal(again.events[name], value)
    for name, seen in first.observation.items():
        torch.testing.assert_close(again.observation[name], seen, atol=0, rtol=0)


def test_seeds_and_episodes_differ() -> None:
    environment = make()
    starts = np.concatenate(
        [environment.reset(keys(*range(8), seed=seed)).events["cube_position"] for seed in (1, 2)]
    )
    gaps = np.linalg.norm(starts[:, None] - starts[None], axis=-1)[~np.eye(16, dtype=bool)]
    assert gaps.min() > 1e-3


def test_randomisation_varies_mass_friction_and_tracking() -> None:
    environment = make()
    step = environment.reset(keys(*range(64)))
    simulator, ranges = environment.simulator, CubeVariation()
    mass = simulator.batch.expand("body_mass")[:, simulator.index.cube_body]
    friction = simulator.batch.expand("geom_friction")[:, simulator.index.cube_geom, 0]
    nominal = simulator.model.geom_friction[simulator.index.cube_geom, 0]
    for value, (low, high) in ((mass, ranges.mass), (friction / nominal, ranges.friction)):
        assert low <= value.min() < low + 0.15 * (high - low)
        assert high >= value.max() > high - 0.15 * (high - low)
    errors = (step.state.cube_position - environment.state.cube_position).numpy()
    assert errors.std() == pytest.approx(environment.noise.position_std, rel=0.2)


def test_randomisation_can_be_turned_off() -> None:
    environment = make(randomize=False)
    step = environment.reset(keys(0, 1, 2))
    simulator = environment.simulator
    assert not simulator.batch.expanded("body_mass")
    assert simulator.model.body_mass[simulator.index.cube_body] == pytest.approx(CUBE_MASS)
    for (name, estimate), (_, truth) in zip(
        tensors(step.state), tensors(environment.state), strict=True
    ):
        torch.testing.assert_close(estimate, truth, atol=1e-6, rtol=0, msg=name)


def test_the_start_and_the_goal_can_be_chosen() -> None:
    environment = make(start=(0.1, -0.2, 0.5), goal=(-0.3, 0.25), randomize=False)
    events = environment.reset(keys(0)).events
    np.testing.assert_allclose(events["cube_position"][0], [0.1, -0.2, CUBE_SIZE / 2], atol=3e-4)
    np.testing.assert_allclose(
        np.abs(events["cube_quaternion"][0]), [np.cos(0.25), 0, 0, np.sin(0.25)], atol=1e-3
    )
    np.testing.assert_allclose(events["goal"][0], [-0.3, 0.25, CUBE_SIZE / 2])
    assert events["goal_distance_m"][0] == pytest.approx(np.hypot(0.4, 0.45), abs=1e-3)


def test_a_goal_beside_the_table_is_refused_by_the_name_of_its_option() -> None:
    with pytest.raises(UsageError, match=r"--goal 1 0 is not on the table: X must be within ±0\.9"):
        HandoffOptions(goal=(1.0, 0.0))


def test_events_and_observations_have_their_shapes() -> None:
    environment = make()
    for step in (environment.reset(keys(0, 1, 2)), environment.step(still(3))):
        assert {name: value.shape[1:] for name, value in step.events.items()} == EVENT_SHAPES
        assert {len(value) for value in step.events.values()} == {3}
        for name, seen in observe(step.state, ARMS).items():
            torch.testing.assert_close(step.observation[name], seen)
    assert environment.time == pytest.approx(0.1)


# -- worlds that start while others go on -------------------------------------------------------


def run(environment: FrankaEnvironment, actions: tuple[Tensor, ...], first: int) -> list[Step]:
    """Apply the actions (B, 1, K, 7) from number ``first`` on."""
    steps = range(first, actions[0].shape[2])
    return [environment.step(tuple(a[:, 0, k] for a in actions)) for k in steps]


def assert_same_world(found: Step, world: int, expected: Step, other: int, atol: float) -> None:
    for name, value in expected.events.items():
        np.testing.assert_allclose(found.events[name][world], value[other], atol=atol, rtol=0)
    for name, seen in expected.observation.items():
        # What is squashed or turned in the hand's frame is magnified.
        torch.testing.assert_close(
            found.observation[name][world], seen[other], atol=20 * atol, rtol=0
        )
    for (name, value), (_, truth) in zip(
        tensors(found.state), tensors(expected.state), strict=True
    ):
        torch.testing.assert_close(value[world], truth[other], atol=atol, rtol=0, msg=name)


def test_a_world_starts_anew_and_the_others_do_not_notice() -> None:
    """To the bit: physics, noise and what was reported; the clock goes on."""
    actions = random_chunks(3, 1, 8)
    undisturbed, environment = make(), make()
    undisturbed.reset(keys(0, 1, 2))
    environment.reset(keys(0, 1, 2))
    expected = run(undisturbed, actions, 0)
    before = [environment.step(tuple(a[:, 0, k] for a in actions)) for k in range(4)][-1]
    after = environment.reset(keys(7), rows=[1])
    assert after.time == before.time == pytest.approx(0.4)
    found = run(environment, actions, 4)
    for world in (0, 2):
        assert_same_world(after, world, before, world, atol=0.0)
        for mine, theirs in zip(found, expected[4:], strict=True):
            assert_same_world(mine, world, theirs, world, atol=0.0)


def test_a_world_that_starts_anew_runs_as_in_an_environment_of_its_own() -> None:
    """Whatever happened in its place before; mass and friction are the new episode's."""
    actions = random_chunks(3, 1, 8)
    environment, alone = make(), make()
    environment.reset(keys(0, 1, 2))
    environment.restore(state(cube=(0.0, 0.7, -0.3)), rows=[1])
    for _ in range(3):
        assert environment.step(still(3)).events["failed"].tolist() == [False, True, False]
    started, own = environment.reset(keys(7), rows=[1]), alone.reset(keys(7))
    assert_same_world(started, 1, own, 0, atol=1e-6)
    mine = run(environment, actions, 0)
    theirs = run(alone, tuple(a[1:2] for a in actions), 0)
    for found, expected in zip(mine, theirs, strict=True):
        assert_same_world(found, 1, expected, 0, atol=1e-5)
    for name in ("body_mass", "body_inertia", "geom_friction"):
        here, there = (e.simulator.batch.expand(name) for e in (environment, alone))
        np.testing.assert_array_equal(here[1], there[0])


def test_each_world_may_have_a_goal_and_a_start_of_its_own() -> None:
    environment = make(randomize=False)
    goals, starts = [(0.3, 0.1), (-0.2, -0.1)], [(0.0, 0.0, 0.0), (0.1, 0.2, 0.5)]
    step = environment.reset(keys(0, 1), goal=goals, start=starts)
    expected = torch.tensor([[*goal, CUBE_SIZE / 2] for goal in goals])
    torch.testing.assert_close(step.state.goal, expected)
    np.testing.assert_allclose(step.events["goal"], expected.numpy(), atol=1e-7)
    np.testing.assert_allclose(step.events["cube_position"][:, :2], np.array(starts)[:, :2],
                               atol=1e-6)  # fmt: skip
    np.testing.assert_allclose(
        step.events["goal_distance_m"], [np.hypot(0.3, 0.1), np.hypot(0.3, 0.3)], atol=1e-6
    )
    step = environment.reset(keys(2), rows=[0], goal=(0.0, 0.4))
    torch.testing.assert_close(step.state.goal[0], torch.tensor([0.0, 0.4, CUBE_SIZE / 2]))
    torch.testing.assert_close(step.state.goal[1], expected[1])
    again = environment.reset(keys(2, 3))  # without a goal of their own
    torch.testing.assert_close(again.state.goal[:, :2], torch.tensor([[0.45, 0.0]] * 2))


def test_a_wrong_goal_changes_nothing() -> None:
    environment = make()
    environment.reset(keys(0, 1))
    before = environment.state
    with pytest.raises(UsageError, match="--goal 2 0 is not on the table"):
        environment.reset(keys(2), rows=[0], goal=(2.0, 0.0))
    assert environment.state is before


def test_some_worlds_cannot_start_before_all_have() -> None:
    with pytest.raises(UsageError, match="reset all worlds first"):
        make().reset(keys(0), rows=[0])


def test_restored_worlds_are_in_the_state_that_was_recorded() -> None:
    environment = make(randomize=False)
    recorded = environment.reset(keys(0, 1)).state
    later = [environment.step(still(2)) for _ in range(3)][-1]
    restored = environment.restore(recorded.of_worlds(torch.tensor([1])), rows=[1])
    torch.testing.assert_close(restored.state.cube_position[1], recorded.cube_position[1])
    torch.testing.assert_close(restored.state.joint_position[1], recorded.joint_position[1])
    assert_same_world(restored, 0, later, 0, atol=0.0)


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])
def test_a_copy_goes_on_from_the_same_instant(copied) -> None:
    """To the bit, with the same mass, friction and noise, and then on its own."""
    actions, environment = random_chunks(2, 1, 6), make()
    environment.reset(keys(0, 1))
    run(environment, tuple(a[:, :, :3] for a in actions), 0)
    twin = copied(environment)
    for mine, theirs in zip(run(twin, actions, 3), run(environment, actions, 3), strict=True):
        for world in range(2):
            assert_same_world(mine, world, theirs, world, atol=0.0)
    before = environment.state
    twin.reset(keys(4), rows=[0])
    assert environment.state is before


# -- failures -----------------------------------------------------------------------------------


def test_a_cube_that_leaves_the_table_fails_for_ever_and_alone() -> None:
    environment = make(randomize=False, start=(0.0, 0.0, 0.0))
    environment.reset(keys(0, 1))
    worlds = state(cube=(0.0, 0.0, 0.025), worlds=2)
    worlds.cube_position[1] = torch.tensor([0.0, 0.58, 0.025])
    worlds.cube_velocity[1, 1] = 1.0
    environment.restore(worlds)
    failed = [environment.step(still(2)).events["failed"].copy() for _ in range(12)]
    assert not failed[0].any()
    assert failed[-1].tolist() == [False, True]
    environment.restore(state(cube=(0.0, 0.0, 0.025), worlds=2))
    assert environment.step(still(2)).events["failed"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "value"), [("joint_velocity", 1e4), ("cube_position", float("nan"))]
)
def test_a_simulation_that_diverges_fails_alone(
    name: str, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log there
    environment = make(randomize=False, start=(-0.2, 0.1, 0.0))
    apart = environment.reset(keys(0, 1, 2)).events["hand_distance_m"]
    worlds = state(cube=(-0.2, 0.1, 0.025), worlds=3)
    broken = getattr(worlds, name).clone()
    broken[1] = value
    environment.restore(worlds)
    environment.simulator.set_state(attrs.evolve(worlds, **{name: broken}))
    for _ in range(3):
        step = environment.step(still(3))
        assert step.events["failed"].tolist() == [False, True, False]
        for values in (*step.events.values(), *(v.numpy() for v in step.observation.values())):
            assert np.isfinite(np.asarray(values, dtype=float)).all()
        np.testing.assert_allclose(step.events["hand_distance_m"][[0, 2]], apart[[0, 2]], atol=2e-3)
        np.testing.assert_allclose(
            step.events["cube_position"][[0, 2]], [[-0.2, 0.1, 0.025]] * 2, atol=1e-3
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_actions_that_are_no_numbers_are_survived(value: float) -> None:
    environment = make()
    environment.reset(keys(0, 1))
    action = torch.zeros(2, 7)
    action[1] = value
    for _ in range(3):
        step = environment.step((action, action))
    assert not step.events["failed"].any()
    assert np.isfinite(step.events["joint_position"]).all()
    np.testing.assert_allclose(
        step.events["joint_position"][0], environment.reset(keys(0)).events["joint_position"][0],
        atol=1e-2,
    )  # fmt: skip


# -- sensors ------------------------------------------------------------------------------------


def brute_hand_distance(environment: FrankaEnvironment, world: int) -> float:
    """The smallest distance between two hands' geometries, pair by pair."""
    model = environment.simulator.model
    data = mujoco.MjData(model)
    data.qpos[:] = environment.simulator.batch.bind("qpos")[world]
    mujoco.mj_kinematics(model, data)

    def geoms(arm: str) -> list[int]:
        bodies = [model.body(f"{arm}/{name}").id for name in HAND_BODIES]
        return [g for g in range(model.ngeom) if model.geom_bodyid[g] in bodies]

    return min(
        mujoco.mj_geomDistance(model, data, a, b, FAR, None)
        for a in geoms(ARMS[0])
        for b in geoms(ARMS[1])
    )


def hands_at(*pairs: tuple) -> FrankaState:
    parts = [dict(tensors(state(cube=(-0.5, 0.4, 0.025), hands=pair))) for pair in pairs]
    return FrankaState(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def test_the_hand_distance_is_that_between_the_hands_geometries() -> None:
    environment = make(randomize=False)
    environment.reset(keys(0, 1, 2))
    worlds = hands_at(
        (None, None),
        ((-0.1, 0.1, 0.2), (0.1, 0.0, 0.3)),
        ((-0.05, 0.3, 0.1), (0.1, 0.05, 0.1)),
    )
    environment.restore(worlds)
    environment.simulator.batch.forward()
    data = environment.simulator.batch.bind("sensordata")
    found = SensorReadings(environment.simulator.model).hand_distance(data)
    expected = [brute_hand_distance(environment, world) for world in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert expected[1] < 0.25
    reported = environment.step(still(3)).events["hand_distance_m"]
    np.testing.assert_allclose(reported, expected, atol=0.02)


@pytest.mark.parametrize("guard", [False, True])
def test_arms_that_touch_are_reported_and_the_guard_keeps_them_from_it(guard: bool) -> None:
    environment = make(randomize=False, guard=guard)
    step = environment.reset(keys(0, 1))
    assert not step.events["arm_contact"].any()
    environment.restore(hands_at((None, None), ((-0.06, 0.0, 0.3), (0.06, 0.0, 0.3))))
    together = torch.zeros(2, 7)
    together[1, 0], together[:, 6] = 0.4, OPEN
    contact, distance, bent = np.zeros(2, dtype=bool), [], np.zeros(2)
    for _ in range(5):
        events = environment.step((together, together)).events
        contact |= events["arm_contact"]
        distance.append(events["hand_distance_m"])
        bent = np.maximum(bent, events["guard_m_s"])
    assert contact.tolist() == [False, not guard]
    assert bent[0] == 0.0
    # At most, a hand that was sent at 0.4 m/s is pushed back at 0.25 m/s.
    assert (0.4 < bent[1] < 0.66) if guard else bent[1] == 0.0
    assert environment.reset(keys(2), rows=[1]).events["guard_m_s"].tolist() == [0.0, 0.0]
    assert (np.min(distance, 0)[1] < 0.005) is not guard
    assert np.min(distance, 0)[0] > 0.2


def test_the_cube_is_reported_as_touched_while_a_gripper_holds_it() -> None:
    environment = make(randomize=False, start=(-0.2, 0.05, 0.2))
    environment.reset(keys(0))
    step = drive_to_grasp(environment)
    assert not step.events["cube_touched"][0]
    plan = chunk((5, (0.0, 0.0, 0.0), SHUT), (5, (0.0, 0.0, 0.2), SHUT), (8, (0.0, 0.0, 0.0), OPEN))
    touched, height, speed = [], [], []
    for action in plan:
        events = environment.step((action[None], still(1)[1])).events
        touched.append(bool(events["cube_touched"][0]))
        height.append(float(events["cube_position"][0, 2]))
        speed.append(float(events["cube_speed_m_s"][0]))
    assert all(touched[2:10])
    assert max(height) > 0.08
    assert max(speed[5:10]) > 0.1
    assert not touched[-1]
    assert height[-1] == pytest.approx(CUBE_SIZE / 2, abs=2e-3)


def test_steps_do_not_change_what_was_reported_before() -> None:
    environment = make()
    first: Step = environment.reset(keys(0, 1))
    kept = {name: value.numpy().copy() for name, value in tensors(first.state)}
    for _ in range(3):
        environment.step(tuple(value[:, 0, 0] for value in random_chunks(2, 1, 1)))
    for name, value in tensors(first.state):
        np.testing.assert_array_equal(value.numpy(), kept[name])
