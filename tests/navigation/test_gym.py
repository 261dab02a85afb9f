import copy
import gc
import pickle
import warnings
import weakref
from functools import partial

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test, parallel_seed_test
from pettingzoo.utils.conversions import parallel_to_aec

from codi_core.errors import UsageError
from codi_core.tasks import EpisodeKey
from codi_navigation.gym.environment import NavigationEnv
from codi_navigation.gym.parallel import NavigationParallelEnv
from codi_navigation.gym.registration import ENVIRONMENT_IDS
from codi_navigation.gym.worlds import World


@pytest.mark.parametrize("name", ENVIRONMENT_IDS)
def test_gymnasium_accepts_the_environments(name):
    made = gymnasium.make(f"codi_navigation:{name}", agents=3, vehicle="mixed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(made.unwrapped, skip_render_check=True)
    assert made.observation_space.shape == (3, 33)


def test_pettingzoo_accepts_the_parallel_environment():
    parallel_api_test(NavigationParallelEnv("navigation-swap", agents=4), num_cycles=100)
    parallel_api_test(NavigationParallelEnv("navigation-corridor", vehicle="mixed"), num_cycles=50)
    parallel_seed_test(partial(NavigationParallelEnv, "navigation-swap", agents=3), num_cycles=20)


@pytest.mark.parametrize("name", ENVIRONMENT_IDS)
def test_pettingzoo_finds_the_parallel_environments_by_name(name):
    made = pettingzoo.make("parallel", name, agents=2)
    assert isinstance(made, NavigationParallelEnv)
    assert made._world.environment.scenario.count == 2
    assert type(made._world.environment.scenario).__name__ in name


def test_its_spaces_are_one_object_an_agent_and_known_before_a_reset():
    environment = NavigationParallelEnv(agents=3)
    for spaces in (environment.observation_space, environment.action_space):
        each = [spaces(agent) for agent in environment.possible_agents]
        assert len({id(space) for space in each}) == 3
        assert [spaces(agent) for agent in environment.possible_agents] == each


def test_its_agents_may_also_act_one_after_another():
    turns = parallel_to_aec(NavigationParallelEnv(agents=3))
    turns.reset(seed=2)
    for agent in turns.agent_iter(max_iter=9):
        assert turns.last()[0] in turns.observation_space(agent)
        turns.step(turns.action_space(agent).sample())


ENVIRONMENTS = {
    "gymnasium": lambda: gymnasium.make("codi_navigation:codi/NavigationWarehouse-v0", agents=2),
    "gymnasium, unwrapped": lambda: NavigationEnv("navigation-corridor", agents=2),
    "PettingZoo": lambda: NavigationParallelEnv("navigation-warehouse", agents=2),
    "PettingZoo, by turns": lambda: parallel_to_aec(NavigationParallelEnv(agents=2)),
}


def use(environment) -> None:
    """Ask an environment all that it can be asked."""
    environment.reset(seed=0)
    for agent in getattr(environment, "possible_agents", []):
        environment.observation_space(agent).sample()
        environment.action_space(agent).sample()
    pickle.loads(pickle.dumps(copy.deepcopy(environment)))
    environment.close()


@pytest.mark.parametrize("make", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_an_environment_that_nobody_needs_is_freed(make):
    worlds = []
    for _ in range(2):
        environment = make()
        use(environment)
        inner = environment.unwrapped
        worlds += [weakref.ref(inner), weakref.ref(inner._world.environment)]
        del environment, inner
    gc.collect()
    assert [world() for world in worlds] == [None] * 4


@pytest.mark.parametrize("shape", [(2,), (1, 2), (3, 1), (1, 3, 2), (4, 2), (3, 3), (0,), ()])
def test_an_action_of_another_shape_is_refused(shape):
    environment = NavigationEnv(agents=3)
    before, _ = environment.reset(seed=0)
    with pytest.raises(UsageError, match=r"an action has the shape \(3, 2\), not"):
        environment.step(np.zeros(shape))
    assert np.array_equal(environment.reset(seed=0)[0], before)


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 2), (2, 2), ()])
def test_a_robots_action_of_another_shape_is_refused(shape):
    environment = NavigationParallelEnv(agents=2)
    environment.reset(seed=0)
    first, second = environment.agents
    with pytest.raises(UsageError, match=rf"{second}'s action has the shape \(2,\), not"):
        environment.step({first: np.zeros(2), second: np.zeros(shape)})
    with pytest.raises(UsageError, match=f"no action for {second}"):
        environment.step({first: np.zeros(2)})
    with pytest.raises(UsageError, match="no agent robot-7"):
        environment.step({first: np.zeros(2), second: np.zeros(2), "robot-7": np.zeros(2)})


@pytest.mark.parametrize("number", [np.nan, np.inf, None])
def test_actions_that_are_no_numbers_are_refused(number):
    environment = NavigationEnv(agents=2)
    environment.reset(seed=0)
    with pytest.raises(UsageError, match="an action"):
        environment.step(np.array([[0.0, 0.0], [0.0, number]]))


@pytest.mark.parametrize("ask", ["step", "render"])
@pytest.mark.parametrize("kind", [NavigationEnv, NavigationParallelEnv])
def test_nothing_can_be_asked_before_the_first_episode(kind, ask):
    environment = kind(agents=2, render_mode="rgb_array")
    action = np.zeros((2, 2)) if kind is NavigationEnv else {}
    with pytest.raises(UsageError, match="no episode has started: call reset first"):
        environment.step(action) if ask == "step" else environment.render()


def test_seeds_and_options_are_checked_at_every_reset():
    for make in (NavigationEnv, NavigationParallelEnv):
        environment = make(agents=2)
        for _ in range(2):
            for seed in (-1, 1.5, "0"):
                with pytest.raises(gymnasium.error.Error, match="Seed must be"):
                    environment.reset(seed=seed)
            environment.reset(seed=0)
    with pytest.raises(UsageError, match=r"reset knows no options \['agents'\]"):
        NavigationEnv(agents=2).reset(options={"agents": 3})


def test_a_generator_of_ones_own_starts_episodes_too():
    environment = NavigationEnv(agents=2)
    environment.np_random = np.random.default_rng(5)
    assert environment.reset()[0] in environment.observation_space


def test_partial_resets_of_gymnasiums_vector_environments_work():
    worlds = gymnasium.make_vec(
        "codi_navigation:codi/NavigationSwap-v0", 2, vectorization_mode="sync", agents=2
    )
    first, _ = worlds.reset(seed=3)
    moved, *_ = worlds.step(np.ones((2, 2, 2), np.float32))
    seen, _ = worlds.reset(seed=[None, 4], options={"reset_mask": np.array([False, True])})
    assert np.array_equal(seen[0], moved[0])
    assert np.array_equal(seen[1], first[1])


def beeline(environment, observations):
    """Drive at the point 0.6 m ahead on the path."""
    return {agent: seen[2:4].clip(-1, 1) for agent, seen in observations.items()}


def test_rewards_add_up_to_the_progress():
    environment = NavigationParallelEnv("navigation-warehouse", agents=2)
    observations, _ = environment.reset(seed=4)
    routes = environment._world.environment.state.routes
    before = routes.distance(environment._world.environment.state.position)[0]
    total = np.zeros(2)
    for _ in range(10):
        observations, rewards, *_ = environment.step(beeline(environment, observations))
        total += list(rewards.values())
    after = routes.distance(environment._world.environment.state.position)[0]
    assert total == pytest.approx((before - after).numpy(), abs=1e-4)
    assert (total > 0.3).all()


def test_a_contact_ends_the_episode_and_costs_those_who_touched():
    environment = NavigationParallelEnv("navigation-swap", agents=2)
    observations, _ = environment.reset(seed=0)
    while environment.agents:
        observations, rewards, terminated, truncated, infos = environment.step(
            beeline(environment, observations)
        )
    assert all(terminated.values())
    assert not any(truncated.values())
    assert all(info["contact"] for info in infos.values())
    assert all(reward < -9 for reward in rewards.values())


def test_an_episode_is_truncated_at_its_time_limit():
    environment = gymnasium.make("codi_navigation:codi/NavigationSwap-v0", agents=2)
    _, info = environment.reset(seed=0)
    steps, truncated = 0, False
    while not truncated:
        _, _, terminated, truncated, last = environment.step(np.zeros((2, 2), np.float32))
        assert not terminated
        steps += 1
    assert steps == np.ceil(info["time_limit_s"] * 10 - 1e-6)
    assert not last["is_success"]


def test_episodes_are_those_of_a_run_with_the_same_seed():
    environment = gymnasium.make("codi_navigation:codi/NavigationWarehouse-v0", agents=3)
    environment.reset(seed=7)
    second, _ = environment.reset()
    alone = World("navigation-warehouse", {"agents": 3}).reset(EpisodeKey(7, 1))
    assert np.array_equal(second, alone)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_environments_pickle_and_copy_in_the_middle_of_an_episode(duplicate):
    team = gymnasium.make("codi_navigation:codi/NavigationCorridor-v0", vehicle="mixed").unwrapped
    team.reset(seed=3)
    robots = NavigationParallelEnv("navigation-warehouse", agents=3, render_mode="rgb_array")
    robots.reset(seed=3)
    twin, twins = duplicate(team), duplicate(robots)
    forward = np.tile(np.float32([0.7, 0.1]), (4, 1))
    assert np.array_equal(team.step(forward)[0], twin.step(forward)[0])
    assert np.array_equal(team.reset()[0], twin.reset()[0])
    actions = dict(zip(robots.agents, forward, strict=False))
    seen, same = robots.step(actions)[0], twins.step(actions)[0]
    assert all(np.array_equal(seen[robot], same[robot]) for robot in robots.possible_agents)
    assert np.array_equal(robots.render(), twins.render())


def test_pictures_are_rendered():
    environment = NavigationParallelEnv("navigation-corridor", render_mode="rgb_array")
    environment.reset(seed=0)
    environment.step({agent: np.zeros(2, np.float32) for agent in environment.agents})
    picture = environment.render()
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.std() > 10


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("navigation-maze", {}, "unknown task 'navigation-maze'; valid: navigation-swap"),
        ("navigation-swap", {"agents": 5000}, "--agents must be between"),
        ("navigation-swap", {"wheels": 4}, "has no option 'wheels'; it has: agents"),
    ],
)
def test_wrong_options_are_refused(task, options, message):
    with pytest.raises(UsageError, match=message):
        NavigationParallelEnv(task, **options)


def test_unknown_render_modes_are_refused():
    with pytest.raises(ValueError, match="render_mode must be None or one of"):
        NavigationParallelEnv(render_mode="human")
