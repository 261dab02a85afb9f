"""The gymnasium environments: the checker's rules, the task's values, and n worlds like one."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import warnings
import weakref
from functools import partial

import attrs
import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from codi_core.costs import CostFunction
from codi_core.errors import CodiError, UsageError
from codi_core.tasks import EpisodeKey
from codi_franka.geometry import quaternion_exp
from codi_franka.gym.environment import HandoffEnv
from codi_franka.gym.registration import ENVIRONMENT_ID, MAX_EPISODE_STEPS
from codi_franka.gym.spaces import physical_actions
from codi_franka.gym.vector import HandoffVectorEnv
from codi_franka.gym.worlds import one_step_trajectory, table_i_cost
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.observation import ENVIRONMENT, STATE, STATE_NAMES
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.robot.cell import ARMS
from codi_franka.robot.frames import BaseFrames
from codi_franka.state import FrankaState, hands_in_base
from franka.scenes import state

NAME = f"codi_franka:{ENVIRONMENT_ID}"
IDLE = np.zeros(14, np.float32)


def opengl_works() -> bool:
    from codi_franka.rendering.opengl import open_context

    try:
        open_context(16, 16).free()
    except CodiError:
        return False
    return True


def make(**options) -> gymnasium.Env:
    return gymnasium.make(NAME, **options)


def make_vec(count: int, **options) -> HandoffVectorEnv:
    return gymnasium.make_vec(
        NAME, num_envs=count, vectorization_mode="vector_entry_point", **options
    )


def put(env: HandoffEnv, worlds: FrankaState) -> None:
    """Put the simulation into a state."""
    env.unwrapped._worlds.environment.restore(worlds)


# -- registration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "imports",
    [
        "import codi_franka, gymnasium",
        "import gymnasium, codi_franka",
        "import gymnasium",
        "import codi_franka, gymnasium; importlib.reload(codi_franka)",
    ],
)
def test_the_name_is_known_in_any_order_of_imports(imports) -> None:
    look_up = "importlib.import_module('codi_franka')"  # as gymnasium does for `module:name`
    code = (
        f"import importlib; {imports}; {look_up}\n"
        f"print(gymnasium.spec({ENVIRONMENT_ID!r}).max_episode_steps)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(MAX_EPISODE_STEPS), done.stderr


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = (
        "import sys, codi_franka\n"
        "print([name for name in ('gymnasium', 'torch', 'mujoco', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- gymnasium's own rules ----------------------------------------------------------------------


def test_gymnasiums_checker_has_nothing_to_say() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make()
        check_env(env.unwrapped, skip_render_check=not opengl_works())
        env.close()


def test_make_truncates_after_60_seconds() -> None:
    env = make()
    assert env.spec.max_episode_steps == 600
    assert env.metadata["render_fps"] == 10


def test_an_unknown_render_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="rgb_array"):
        HandoffEnv(render_mode="human")


# -- values -------------------------------------------------------------------------------------


def test_actions_are_scaled_to_the_limits() -> None:
    action = np.zeros((1, 14), np.float32)
    action[0, [0, 3, 6, 8, 13]] = [1.0, -1.0, 1.0, 0.5, -3.0]
    left, right = physical_actions(action)
    torch.testing.assert_close(left, torch.tensor([[0.5, 0, 0, -2.0, 0, 0, 0.08]]))
    torch.testing.assert_close(right, torch.tensor([[0, 0.25, 0, 0, 0, 0, 0.0]]))


def test_an_episode_is_that_of_codi_run_with_the_same_seed() -> None:
    """Observations, true distances and costs are those of the task's environment."""
    env = make()
    actions = np.random.default_rng(0).uniform(-1, 1, (2, 4, 14)).astype(np.float32)
    for episode in range(2):
        task = FrankaEnvironment(HandoffOptions(), MujocoMaker(1))
        step = task.reset([EpisodeKey(7, episode)])
        observation, info = env.reset(seed=7) if episode == 0 else env.reset()
        for action in actions[episode]:
            for arm in ARMS:
                seen = torch.cat(
                    [step.observation[f"{arm}/{key}"][0] for key in (STATE, ENVIRONMENT)]
                )
                np.testing.assert_allclose(observation[arm], seen.numpy(), atol=1e-6)
            assert info["goal_distance_m"] == pytest.approx(step.events["goal_distance_m"][0])
            step = task.step(physical_actions(action[None]))
            observation, reward, terminated, truncated, info = env.step(action)
            cost = table_i_cost()(one_step_trajectory(task.state, task.hands))
            assert reward == pytest.approx(-float(cost), abs=1e-6)
            assert (terminated, truncated) == (False, False)


def test_the_reward_is_minus_table_i_of_the_true_state() -> None:
    """By hand: the goal is 0.75 m away, the hands 0.9 m apart, the nearer one 0.325 m off."""
    env = make(randomize=False, start=(-0.3, 0.0, 0.0))
    env.reset(seed=0)
    reward = env.step(IDLE)[1]
    environment = env.unwrapped._worlds.environment
    hands = hands_in_base(environment.state).position[0]
    tcp = BaseFrames.of(ARMS).points_to_world(hands)
    cube = environment.state.cube_position[0]
    engage = (tcp - cube).norm(dim=-1).min() - 0.2
    collide = max(0.3 - float((tcp[0] - tcp[1]).norm()), 0.0)
    goal = float((cube - torch.tensor([0.45, 0.0, 0.025])).norm()) - 0.01
    assert reward == pytest.approx(-(goal + 10 * collide + 10 * float(engage)), abs=1e-5)
    assert goal == pytest.approx(0.74, abs=1e-3)


def test_another_cost_makes_another_reward() -> None:
    @attrs.frozen
    class Height(CostFunction):
        def __call__(self, trajectory):
            assert trajectory.hand_quaternion().shape == (1, 1, 1, 2, 4)
            return trajectory.cube_position[..., -1, 2]

    env = make(cost=Height())
    env.reset(seed=0)
    assert env.step(IDLE)[1] == pytest.approx(-0.025, abs=1e-3)


def test_start_and_goal_hold_for_one_episode() -> None:
    env = make(randomize=False)
    options = {"start": (-0.3, 0.2, 0.5), "goal": (0.1, -0.1)}
    observation, info = env.reset(seed=3, options=options)
    np.testing.assert_allclose(observation["goal"], [0.1, -0.1, 0.025], atol=1e-6)
    cube = observation["left"][len(STATE_NAMES) :][:3] + [-0.65, 0.0, 0.0]
    np.testing.assert_allclose(cube, [-0.3, 0.2, 0.025], atol=1e-6)
    assert info["goal_distance_m"] == pytest.approx(0.5, abs=1e-6)
    assert env.step(IDLE)[4]["goal_distance_m"] == pytest.approx(0.5, abs=1e-3)
    observation, info = env.reset()
    np.testing.assert_allclose(observation["goal"], [0.45, 0.0, 0.025], atol=1e-6)
    assert info["goal_distance_m"] >= 0.2


@pytest.mark.parametrize(
    "options",
    [
        {"begin": (0, 0)},
        {"start": (0.1, 0.2)},
        {"goal": 1.0},
        {"goal": None},
        {"goal": ("a", "b")},
        {"start": [(0.1,), (0.1, 0.2), 3]},
        {"reset_mask": np.array([True])},
    ],
)
def test_a_wrong_reset_option_is_named(options) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        make().reset(options=options)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("goal", (2.0, 0.0), "--goal 2 0 is not on the table"),
        ("goal", (np.nan, 0.0), "--goal: must be 2 finite numbers, not nan 0.0"),
        ("start", (0.0, np.inf, 0.0), "--start: must be 3 finite numbers"),
        ("start", (0.0, 0.0, np.nan), "--start: must be 3 finite numbers, not 0.0 0.0 nan"),
    ],
)
def test_a_place_off_the_table_is_refused(name, value, message) -> None:
    """Wherever it is said, and at every reset."""
    for env in (make(), make_vec(2)):
        for _ in range(2):
            with pytest.raises(UsageError, match=message):
                env.reset(options={name: value})
            env.reset(seed=0)
    for kind in (HandoffEnv, HandoffVectorEnv):
        with pytest.raises(UsageError, match=message):
            kind(**{name: value})


@pytest.mark.parametrize("value", ["here", (0.1,), (0.1, "b")])
def test_a_place_that_is_none_is_refused(value) -> None:
    with pytest.raises(UsageError, match=r"franka-handoff|--goal"):
        HandoffEnv(goal=value)


# -- what is asked ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (13,), (15,), (1, 14), (14, 1), (2, 7), (2, 14)])
def test_an_action_of_another_shape_is_refused(shape) -> None:
    env = HandoffEnv()
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"an action has the shape \(14,\), not"):
        env.step(np.zeros(shape))


@pytest.mark.parametrize("shape", [(14,), (1, 14), (3, 14), (2, 13), (2, 2, 7), (28,)])
def test_a_batch_of_actions_of_another_shape_is_refused(shape) -> None:
    envs = HandoffVectorEnv(2)
    envs.reset(seed=0)
    with pytest.raises(UsageError, match=r"a batch of actions has the shape \(2, 14\), not"):
        envs.step(np.zeros(shape))


@pytest.mark.parametrize("action", [None, "stop", np.full(14, np.nan), np.full(14, np.inf)])
def test_an_action_that_is_no_numbers_is_refused(action) -> None:
    env = HandoffEnv()
    env.reset(seed=0)
    with pytest.raises(UsageError, match="an action"):
        env.step(action)


@pytest.mark.parametrize("kind", [HandoffEnv, HandoffVectorEnv])
def test_nothing_can_be_asked_before_the_first_episode(kind) -> None:
    env = kind(render_mode="rgb_array")
    actions = np.zeros(env.action_space.shape)
    for ask in (partial(env.step, actions), env.render):
        with pytest.raises(UsageError, match="no episode has started: call reset first"):
            ask()


@pytest.mark.parametrize("kind", [HandoffEnv, HandoffVectorEnv])
def test_seeds_are_checked_at_every_reset(kind) -> None:
    env = kind()
    for _ in range(2):
        for seed in (-1, [-1], [1.5], ["0"]) if kind is HandoffVectorEnv else (-1, 1.5, "0"):
            with pytest.raises(gymnasium.error.Error, match="Seed must be"):
                env.reset(seed=seed)
        env.reset(seed=0)


def test_a_generator_of_ones_own_starts_episodes_too() -> None:
    env = HandoffEnv()
    env.np_random = np.random.default_rng(5)
    assert env.reset()[0] in env.observation_space


@pytest.mark.parametrize("make_one", [make, HandoffEnv, partial(make_vec, 2), HandoffVectorEnv])
def test_an_environment_that_nobody_needs_is_freed(make_one) -> None:
    worlds = []
    for _ in range(2):
        env = make_one()
        env.reset(seed=0)
        env.step(np.zeros(env.action_space.shape, np.float32))
        pickle.loads(pickle.dumps(copy.deepcopy(env))).close()
        env.close()
        inner = env.unwrapped
        worlds += [weakref.ref(inner), weakref.ref(inner._worlds.environment)]
        worlds.append(weakref.ref(inner._worlds.environment.simulator))
        del env, inner
    gc.collect()
    assert [world() for world in worlds] == [None] * 6


def test_it_ends_when_the_cube_lies_at_the_goal() -> None:
    env = make(randomize=False)
    _, info = env.reset(seed=0, options={"start": (0.4, -0.1, 0.0)})
    assert not info["is_success"]
    for _ in range(5):  # the cube is dropped by a hair when it is placed
        *_, terminated, truncated, info = env.step(IDLE)
        if terminated:
            break
    assert (terminated, truncated) == (True, False)
    assert info["is_success"]


def test_a_cube_that_passes_the_goal_counts_but_does_not_end_the_episode() -> None:
    env = make(randomize=False)
    env.reset(seed=0)
    put(env, state((0.45, 0.0, 0.12)))
    *_, terminated, _, info = env.step(IDLE)
    assert info["is_success"]
    assert not terminated
    put(env, state((-0.3, 0.0, 0.025)))
    assert env.step(IDLE)[4]["is_success"]
    assert not env.reset()[1]["is_success"]


def test_dropping_the_cube_does_not_pay() -> None:
    """The episode goes on, and so do its costs."""
    env = make(randomize=False)
    env.reset(seed=0)
    put(env, state((0.0, 0.7, -0.2)))
    rewards = []
    for _ in range(4):
        _, reward, terminated, _, info = env.step(IDLE)
        rewards.append(reward)
        assert info["failed"]
        assert not terminated
    assert max(rewards) < -2.0


def test_a_diverged_simulation_ends_the_episode_with_finite_values(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log there
    env = make(randomize=False)
    env.reset(seed=0)
    _, before, *_ = env.step(IDLE)
    put(env, attrs.evolve(state(), cube_position=torch.full((1, 3), 1e30)))
    env.unwrapped._worlds.environment.simulator.valid[:] = False
    observation, reward, terminated, _, info = env.step(IDLE)
    assert terminated
    assert info["failed"]
    assert reward == before
    assert observation in env.observation_space
    observation, info = env.reset(seed=1)
    again, expected = make(randomize=False).reset(seed=1)
    for name in observation:
        np.testing.assert_allclose(observation[name], again[name], atol=1e-6)
    assert info == pytest.approx(expected)


@pytest.mark.skipif(not opengl_works(), reason="no off-screen OpenGL here")
def test_it_renders_the_present_state() -> None:
    env = make(render_mode="rgb_array", size=(160, 120), randomize=False)
    env.reset(seed=0, options={"start": (-0.2, -0.2, 0.0)})
    first = env.render()
    env.reset(seed=0, options={"start": (0.2, -0.3, 0.0)})
    second = env.render()
    env.close()
    assert first.shape == (120, 160, 3)
    assert (np.abs(first.astype(int) - second).sum(-1) > 60).any()


COPIES = {"pickled": lambda env: pickle.loads(pickle.dumps(env)), "copied": copy.deepcopy}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_copy_goes_on_from_the_same_state(copied, wrapped) -> None:
    """To the bit; then each goes on by itself, also to its next episodes."""
    env = make() if wrapped else HandoffEnv()
    env.reset(seed=3)
    actions = np.random.default_rng(2).uniform(-1, 1, (4, 14)).astype(np.float32)
    env.step(actions[0])
    twin = copied(env)
    for action in actions:
        mine, theirs = twin.step(action), env.step(action)
        for name, value in theirs[0].items():
            np.testing.assert_array_equal(mine[0][name], value)
        assert mine[1:4] == theirs[1:4]
        assert mine[4] == theirs[4]
    (mine, _), (theirs, _) = twin.reset(), env.reset()
    np.testing.assert_array_equal(mine["left"], theirs["left"])
    twin.close()
    env.close()


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_of_many_worlds_goes_on_from_the_same_state(copied) -> None:
    envs = HandoffVectorEnv(2, max_episode_steps=3)
    envs.reset(seed=3)
    actions = np.random.default_rng(2).uniform(-1, 1, (5, 2, 14)).astype(np.float32)
    envs.step(actions[0])
    twin = copied(envs)
    for action in actions:  # one of them ends the episodes, and the next one starts others
        mine, theirs = twin.step(action), envs.step(action)
        for name, value in theirs[0].items():
            np.testing.assert_array_equal(mine[0][name], value)
        for value, expected in zip(mine[1:4], theirs[1:4], strict=True):
            np.testing.assert_array_equal(value, expected)


@pytest.mark.skipif(not opengl_works(), reason="no off-screen OpenGL here")
def test_a_copy_of_an_environment_that_has_rendered_renders_for_itself() -> None:
    env = make(render_mode="rgb_array", size=(64, 48))
    env.reset(seed=0)
    picture = env.render()
    twin = pickle.loads(pickle.dumps(env))
    env.close()
    np.testing.assert_array_equal(twin.render(), picture)
    twin.close()


# -- the vector form ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
def test_n_worlds_in_one_batch_are_n_environments(count) -> None:
    """Values, ends, restarts and info, over two autoresets and a second reset."""
    steps = 3
    together = make_vec(count, max_episode_steps=steps)
    apart = SyncVectorEnv([partial(make, max_episode_steps=steps) for _ in range(count)])
    assert together.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert together.observation_space == apart.observation_space
    assert together.action_space == apart.action_space
    generator = np.random.default_rng(0)
    for seed in (5, None):
        mine, theirs = together.reset(seed=seed), apart.reset(seed=seed)
        assert_equal(mine, theirs)
        for _ in range(2 * steps + 3):
            actions = generator.uniform(-1, 1, (count, 14)).astype(np.float32)
            mine, theirs = together.step(actions), apart.step(actions)
            assert_equal((mine[0], mine[-1]), (theirs[0], theirs[-1]))
            for value, expected in zip(mine[1:4], theirs[1:4], strict=True):
                np.testing.assert_allclose(value, expected, atol=1e-5)
                assert value.dtype == expected.dtype
    together.close()
    apart.close()


def assert_equal(mine, theirs) -> None:
    """Observations and info of two vector environments."""
    assert mine[0].keys() == theirs[0].keys()
    for name, value in theirs[0].items():
        np.testing.assert_allclose(mine[0][name], value, atol=1e-5)
        assert mine[0][name].dtype == value.dtype
    assert mine[1].keys() == theirs[1].keys()
    for name, value in theirs[1].items():
        np.testing.assert_allclose(mine[1][name], value, atol=1e-5)


def test_a_world_restarts_alone() -> None:
    """One cube is delivered; its world starts anew and the other goes on undisturbed."""
    actions = np.random.default_rng(1).uniform(-1, 1, (8, 2, 14)).astype(np.float32)
    envs, alone = make_vec(2), make()
    envs.reset(seed=0)
    alone.reset(seed=1)
    task = envs._worlds.environment
    delivered = attrs.evolve(
        task.state.of_worlds(torch.tensor([0])),
        cube_position=torch.tensor([[0.45, 0.0, 0.025]]),
        cube_quaternion=quaternion_exp(torch.zeros(1, 3)),
    )
    task.restore(delivered, [0])
    ended = []
    for action in actions:
        action[0] = 0.0
        observation, reward, terminated, _, info = envs.step(action)
        expected, expected_reward, *_, expected_info = alone.step(action[1])
        ended.append(bool(terminated[0]))
        for name, value in expected.items():
            np.testing.assert_allclose(observation[name][1], value, atol=1e-5)
        assert reward[1] == pytest.approx(expected_reward, abs=1e-5)
        assert info["goal_distance_m"][1] == pytest.approx(
            expected_info["goal_distance_m"], abs=1e-5
        )
    assert sum(ended) == 1
    fresh = make()
    fresh.reset(seed=0)
    observation, _ = fresh.reset()
    after = len(ended) - ended.index(True) - 2
    for action in actions[len(actions) - after :]:
        observation, *_ = fresh.step(action[0])
    seen = envs._worlds.observation()
    for name, value in observation.items():
        np.testing.assert_allclose(seen[name][0], value, atol=1e-5)


def test_what_a_step_returns_is_not_changed_by_the_next() -> None:
    envs = make_vec(2)
    envs.reset(seed=0)
    first = envs.step(np.zeros((2, 14), np.float32))
    copies = (
        {k: v.copy() for k, v in first[0].items()},
        {k: v.copy() for k, v in first[4].items()},
    )
    envs.step(np.ones((2, 14), np.float32))
    for name, value in copies[0].items():
        np.testing.assert_array_equal(first[0][name], value)
    for name, value in copies[1].items():
        np.testing.assert_array_equal(first[4][name], value)


def test_seeds_may_be_listed() -> None:
    envs = make_vec(2)
    observation, _ = envs.reset(seed=[4, 9])
    for row, seed in enumerate((4, 9)):
        expected, _ = make().reset(seed=seed)
        np.testing.assert_allclose(observation["left"][row], expected["left"], atol=1e-6)
    with pytest.raises(ValueError, match="3 seeds for 2"):
        envs.reset(seed=[1, 2, 3])


@pytest.mark.parametrize("wrapped", [True, False])
def test_some_worlds_start_anew_while_the_others_stay_as_they_are(wrapped) -> None:
    """As in gymnasium's own vector environments, also where a world is about to start anyway."""
    steps = 3
    together = make_vec(3, max_episode_steps=steps)
    if wrapped:
        together = gymnasium.wrappers.vector.RecordEpisodeStatistics(together)
    apart = SyncVectorEnv([partial(make, max_episode_steps=steps) for _ in range(3)])
    if wrapped:
        apart = gymnasium.wrappers.vector.RecordEpisodeStatistics(apart)
    for envs in (together, apart):
        envs.reset(seed=5)
    generator = np.random.default_rng(0)
    first, middle = np.array([True, False, False]), np.array([False, True, False])
    begun = {"start": (-0.3, 0.1, 0.2)}
    resets = {1: (None, first, {}), 2: ([1, 8, 2], middle, begun), 3: (9, first | middle, {})}
    for step in range(7):
        if step in resets:
            seed, mask, options = resets[step]
            mine, theirs = (
                envs.reset(seed=seed, options={"reset_mask": mask.copy(), **options})
                for envs in (together, apart)
            )
            assert_equal(mine, theirs)
        actions = generator.uniform(-1, 1, (3, 14)).astype(np.float32)
        mine, theirs = together.step(actions), apart.step(actions)
        np.testing.assert_allclose(mine[1], theirs[1], atol=1e-5)
        np.testing.assert_array_equal(mine[2:4], theirs[2:4])
        for name, value in theirs[0].items():
            np.testing.assert_allclose(mine[0][name], value, atol=1e-5)


def test_what_is_asked_of_a_partial_reset_stays_the_callers() -> None:
    envs = make_vec(2)
    envs.reset(seed=0)
    options = {"reset_mask": np.array([True, False])}
    envs.reset(options=options)
    assert options["reset_mask"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.array([True]), ValueError, r"the shape \(2,\), not \(1,\)"),
        (np.array([[True, False]]), ValueError, "shape"),
        (np.array([1, 0]), TypeError, "an array of booleans"),
        ([True, False], TypeError, "an array of booleans"),
        (np.array([False, False]), ValueError, "at least one world"),
    ],
)
def test_a_mask_that_is_none_is_refused(mask, error, message) -> None:
    envs, theirs = HandoffVectorEnv(2), SyncVectorEnv([HandoffEnv, HandoffEnv])
    envs.reset(seed=0)
    with pytest.raises(error, match=message):
        envs.reset(options={"reset_mask": mask})
    with pytest.raises(error):
        theirs.reset(options={"reset_mask": mask})


def test_all_worlds_start_before_some_start_anew() -> None:
    envs = HandoffVectorEnv(2)
    with pytest.raises(UsageError, match="reset all worlds first"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(options={"reset_mask": np.array([True, True])})


def test_a_seed_that_is_refused_changes_no_world() -> None:
    envs = HandoffVectorEnv(2)
    envs.reset(seed=[3, 4])
    with pytest.raises(gymnasium.error.Error):
        envs.reset(seed=[5, -1])
    assert envs.np_random_seed == (3, 4)
    with pytest.raises(UsageError, match="num_envs must be at least 1"):
        HandoffVectorEnv(0)


@pytest.mark.skipif(not opengl_works(), reason="no off-screen OpenGL here")
def test_each_world_is_rendered() -> None:
    envs = make_vec(2, render_mode="rgb_array", size=(64, 48))
    envs.reset(seed=0)
    pictures = envs.render()
    assert [picture.shape for picture in pictures] == [(48, 64, 3)] * 2
    assert (pictures[0] != pictures[1]).any()
    envs.close()
