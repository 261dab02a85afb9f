import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test

from codi_core.errors import UsageError
from codi_core.tasks import EpisodeKey
from codi_navigation.gym.parallel import NavigationParallelEnv
from codi_navigation.gym.registration import ENVIRONMENT_IDS
from codi_navigation.gym.worlds import World


@pytest.mark.parametrize("name", ENVIRONMENT_IDS)
def test_gymnasium_accepts_the_environments(name):
    made = gymnasium.make(f"codi_navigation:{name}", agents=3, vehicle="mixed")
    check_env(made.unwrapped, skip_render_check=True)
    assert made.observation_space.shape == (3, 33)


def test_pettingzoo_accepts_the_parallel_environment():
    parallel_api_test(NavigationParallelEnv("navigation-swap", agents=4), num_cycles=100)
    parallel_api_test(NavigationParallelEnv("navigation-corridor", vehicle="mixed"), num_cycles=50)


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
        ("navigation-swap", {"agents": 500}, "--agents must be between"),
        ("navigation-swap", {"wheels": 4}, "unexpected keyword argument 'wheels'"),
    ],
)
def test_wrong_options_are_refused(task, options, message):
    with pytest.raises(UsageError, match=message):
        NavigationParallelEnv(task, **options)


def test_unknown_render_modes_are_refused():
    with pytest.raises(ValueError, match="render_mode must be None or one of"):
        NavigationParallelEnv(render_mode="human")
