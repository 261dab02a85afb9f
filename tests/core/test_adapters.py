"""Environments of gymnasium and PettingZoo that nobody here wrote, as environments of this package.

What is seen through an adapter must be what the library itself shows.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from codi_core.adapters import ParallelEnvironment, Readings, VectorEnvironment, episode_seed
from codi_core.errors import SpecificationError
from codi_core.tasks import EpisodeKey
from codi_core.testing import check_environment

RATE = 10.0
KEYS = [EpisodeKey(5, number) for number in range(4)]


def seen(readings):
    return torch.as_tensor(readings.observation, dtype=torch.float32)


# -- gymnasium: a car on a hill, continuous -------------------------------------------------------


def cars(**changes):
    settings = {
        "make": lambda worlds: gymnasium.make_vec("MountainCarContinuous-v0", num_envs=worlds),
        "rate_hz": RATE,
        "state": seen,
        "observe": lambda readings: {"car/observation.state": seen(readings)},
        "events": lambda readings: {
            "reward": readings.reward,
            "succeeded": readings.terminated,
        },
    }
    return VectorEnvironment(**{**settings, **changes})


def pushes(seed, worlds, steps):
    """Actions (B, 1) a step; some are beyond the bounds of ±1."""
    generator = torch.Generator().manual_seed(seed)
    return [(2 * torch.randn(worlds, 1, generator=generator),) for _ in range(steps)]


def test_cars_move_as_gymnasium_moves_them_one_by_one():
    environment, actions = cars(), pushes(0, 4, 30)
    steps = [environment.reset(KEYS), *map(environment.step, actions)]
    assert [step.time for step in steps[:3]] == pytest.approx([0.0, 0.1, 0.2])
    for row, key in enumerate(KEYS):
        car = gymnasium.make("MountainCarContinuous-v0")
        first, _ = car.reset(seed=episode_seed(key))
        assert np.array_equal(steps[0].state[row], first)
        for step, (action,) in zip(steps[1:], actions, strict=True):
            expected, reward, *_ = car.step(np.clip(action[row].numpy(), -1, 1))
            assert np.array_equal(step.observation["car/observation.state"][row], expected)
            assert step.events["reward"][row] == pytest.approx(reward)


def test_worlds_of_a_vector_environment_are_worlds_apart():
    check_environment(cars, pushes(1, 2, 4), RATE)
    check_environment(lambda: cars(reset_mask=False), pushes(1, 2, 4), RATE)


@pytest.mark.parametrize("reset_mask", [True, False])
def test_vector_environments_that_are_not_needed_any_more_are_closed(reset_mask):
    made = []

    def make(worlds):
        made.append(gymnasium.make_vec("MountainCarContinuous-v0", num_envs=worlds))
        return made[-1]

    environment = cars(make=make, reset_mask=reset_mask)
    environment.reset(KEYS)
    environment.reset(KEYS[:2])
    assert [one.closed for one in made] == (
        [True, False] if reset_mask else [False, False, True, True]
    )


def test_actions_that_are_no_numbers_move_nothing_and_raise_nothing():
    broken, still = cars(), cars()
    broken.reset(KEYS)
    still.reset(KEYS)
    nothing = torch.full((4, 1), torch.nan)
    assert torch.equal(broken.step((nothing,)).state, still.step((torch.zeros(4, 1),)).state)


def test_actions_that_do_not_fit_are_refused():
    environment = cars()
    environment.reset(KEYS)
    with pytest.raises(SpecificationError, match=r"have 2 numbers, which don't fit into Box"):
        environment.step((torch.zeros(4, 1), torch.zeros(4, 1)))
    lake = lakes(actions=None)
    lake.reset(KEYS)
    with pytest.raises(SpecificationError, match="don't fit into Discrete"):
        lake.step((torch.zeros(4, 1),))


# -- gymnasium: a slippery lake, random on the way, with early ends --------------------------------

MODES = [
    (AutoresetMode.NEXT_STEP, True),
    (AutoresetMode.NEXT_STEP, False),
    (AutoresetMode.DISABLED, True),
    (AutoresetMode.DISABLED, False),
]


def lake():
    return gymnasium.make("FrozenLake-v1", is_slippery=True, max_episode_steps=12)


def lakes(mode=AutoresetMode.NEXT_STEP, **changes):
    settings = {
        "make": lambda worlds: SyncVectorEnv([lake] * worlds, autoreset_mode=mode),
        "rate_hz": RATE,
        "state": lambda readings: seen(readings).unsqueeze(-1),
        "observe": lambda readings: {"place": seen(readings).unsqueeze(-1)},
        "events": lambda readings: {
            "place": readings.observation,
            "chance": readings.info["prob"],
            "succeeded": readings.reward > 0,
        },
        "actions": lambda actions: actions[0][:, 0].long().numpy(),
    }
    return VectorEnvironment(**{**settings, **changes})


def walks(seed, worlds, steps):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randint(1, 3, (worlds, 1), generator=generator),) for _ in range(steps)]


def walked_alone(key, actions):
    """Places, and how it ended after how many steps."""
    one = lake()
    place, _ = one.reset(seed=episode_seed(key))
    places = [place]
    for number, action in enumerate(actions, 1):
        place, reward, terminated, truncated, _ = one.step(action)
        places.append(place)
        if terminated or truncated:
            return places, number, reward > 0
    raise AssertionError("an episode of the lake ends after 12 steps at the latest")


@pytest.mark.parametrize(("mode", "mask"), MODES)
def test_worlds_that_have_ended_stay_as_they_are(mode, mask):
    keys = [EpisodeKey(5, number) for number in range(40)]
    environment, actions = lakes(mode, reset_mask=mask), walks(0, 40, 14)
    steps = [environment.reset(keys), *map(environment.step, actions)]
    ends = set()
    for row, key in enumerate(keys):
        taken = [int(action[row, 0]) for (action,) in actions]
        places, end, success = walked_alone(key, taken)
        ends.add((end, success))
        for number, step in enumerate(steps):
            assert step.events["place"][row] == places[min(number, end)]
            assert step.events["succeeded"][row] == (success and number >= end)
            assert step.events["failed"][row] == (not success and number >= end)
    assert any(success for _, success in ends)
    assert any(end == 12 for end, _ in ends)  # truncated
    assert min(end for end, _ in ends) < 6
    assert steps[0].events["chance"].tolist() == [1.0] * 40
    assert steps[1].events["chance"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("mode", "mask"), MODES)
def test_ended_worlds_start_anew_while_others_go_on(mode, mask):
    environment, actions = lakes(mode, reset_mask=mask), walks(0, 4, 14)
    environment.reset(KEYS)
    for action in actions[:7]:
        before = environment.step(action)
    rows = np.flatnonzero(before.events["failed"]).tolist()
    assert 0 < len(rows) < 4
    going = next(row for row in range(4) if row not in rows)
    fresh = [EpisodeKey(6, row) for row in rows]
    steps = [environment.reset(fresh, rows=rows), *map(environment.step, actions)]
    assert steps[0].time == pytest.approx(0.7)
    assert steps[0].events["place"][going] == before.events["place"][going]
    again = [int(action[going, 0]) for (action,) in (*actions[:7], *actions)]
    places, end, _ = walked_alone(KEYS[going], again)
    assert [step.events["place"][going] for step in steps[:4]] == [
        places[min(7 + number, end)] for number in range(4)
    ]
    for row, key in zip(rows, fresh, strict=True):
        assert not steps[0].events["failed"][row]
        places, end, success = walked_alone(key, [int(action[row, 0]) for (action,) in actions])
        for number, step in enumerate(steps):
            assert step.events["place"][row] == places[min(number, end)]
        assert steps[-1].events["failed"][row] != success
    check_environment(lambda: lakes(mode, reset_mask=mask), walks(2, 2, 3), RATE)


def test_a_number_of_worlds_that_changes_is_no_matter():
    environment = lakes()
    for worlds in (3, 1, 4):
        step = environment.reset(KEYS[:worlds])
        assert step.events["place"].tolist() == [0] * worlds
        environment.step(walks(0, worlds, 1)[0])


def test_ends_that_cannot_be_seen_are_refused():
    with pytest.raises(SpecificationError, match="SyncVectorEnv starts the next episode in the"):
        lakes(AutoresetMode.SAME_STEP).reset(KEYS)


# -- PettingZoo: agents that cover landmarks ------------------------------------------------------


def own_spread():
    module = pytest.importorskip("mpe2.simple_spread_v3")
    return module.parallel_env(continuous_actions=True, max_cycles=8)


def spread(**changes):
    def observe(readings):
        return {
            f"{agent}/observation.state": torch.as_tensor(value)
            for agent, value in readings.observation.items()
        }

    settings = {
        "make": own_spread,
        "rate_hz": RATE,
        "state": lambda readings: torch.stack(list(observe(readings).values()), 1),
        "observe": observe,
        "events": lambda readings: {"reward": readings.reward["agent_0"]},
    }
    return ParallelEnvironment(**{**settings, **changes})


def forces(seed, worlds, steps):
    generator = torch.Generator().manual_seed(seed)
    return [(0.5 + torch.randn(3, worlds, 5, generator=generator)).unbind(0) for _ in range(steps)]


def test_agents_move_as_pettingzoo_moves_them():
    environment, actions = spread(), forces(0, 3, 10)
    steps = [environment.reset(KEYS[:3]), *map(environment.step, actions)]
    for row, key in enumerate(KEYS[:3]):
        own = own_spread()
        expected, _ = own.reset(seed=episode_seed(key))
        for number, step in enumerate(steps):
            for index, agent in enumerate(own.possible_agents):
                assert np.array_equal(step.state[row, index], expected[agent])
                entry = step.observation[f"{agent}/observation.state"]
                assert np.array_equal(entry[row], expected[agent])
            # After eight steps it is truncated: agents have left and stay where they were.
            assert step.events["failed"][row] == (number >= 8)
            if own.agents and number < len(actions):
                taken = {
                    agent: np.clip(action[row].numpy(), 0, 1)
                    for agent, action in zip(own.agents, actions[number], strict=True)
                }
                expected, rewards, *_ = own.step(taken)
                following = steps[number + 1].events["reward"][row]
                assert following == pytest.approx(rewards["agent_0"])


def test_worlds_of_parallel_environments_are_worlds_apart():
    check_environment(spread, forces(1, 2, 3), RATE)


class Leaving:
    """A parallel environment whose agents leave one after another, and say why."""

    possible_agents = ("early", "late")

    def reset(self, seed=None):
        self.agents, self.steps = list(self.possible_agents), 0
        self.offset = seed % 7
        return self._seen(), {}

    def step(self, actions):
        assert sorted(actions) == sorted(self.agents)
        self.steps += 1
        done = {agent: self.steps >= {"early": 2, "late": 4}[agent] for agent in self.agents}
        told = (
            self._seen(),
            dict.fromkeys(self.agents, 1.0),
            done,
            dict.fromkeys(self.agents, False),
            {agent: {"why": "it is time"} if done[agent] else {} for agent in self.agents},
        )
        self.agents = [agent for agent in self.agents if not done[agent]]
        return told

    def action_space(self, agent):
        return gymnasium.spaces.Box(-1, 1, (1,))

    def close(self):
        self.closed = True

    def _seen(self):
        return {agent: np.array([self.offset + self.steps], np.float32) for agent in self.agents}


def test_agents_that_have_left_keep_what_they_saw():
    read = []

    def events(readings):
        read.append(readings)
        return {"succeeded": readings.terminated["late"]}

    environment = ParallelEnvironment(
        Leaving,
        rate_hz=RATE,
        state=lambda readings: None,
        observe=lambda readings: {
            agent: torch.as_tensor(value) for agent, value in readings.observation.items()
        },
        events=events,
    )
    environment.reset(KEYS[:2])
    offsets = [episode_seed(key) % 7 for key in KEYS[:2]]
    still = (torch.zeros(2, 1), torch.zeros(2, 1))
    steps = [environment.step(still) for _ in range(6)]
    for row, offset in enumerate(offsets):
        early = [step.observation["early"][row].item() - offset for step in steps]
        late = [step.observation["late"][row].item() - offset for step in steps]
        assert early == [1, 2, 2, 2, 2, 2]
        assert late == [1, 2, 3, 4, 4, 4]
        assert [bool(step.events["succeeded"][row]) for step in steps] == [False] * 3 + [True] * 3
        assert not steps[-1].events["failed"][row]
    assert [readings.ended.all() for readings in read] == [False] * 4 + [True] * 3
    assert read[2].info["early"]["why"].tolist() == ["it is time"] * 2
    assert read[3].info["early"] == {}
    assert read[2].reward["early"].tolist() == [1.0, 1.0]
    assert read[3].reward["early"].tolist() == [0.0, 0.0]


# -- readings -------------------------------------------------------------------------------------


def reading(value, **info):
    worlds = len(value)
    flags = np.zeros(worlds, dtype=bool)
    values = np.array(value, float)
    return Readings((values, {"x": values[:, None]}), values, flags, flags, info, flags)


def test_what_not_all_worlds_say_is_nothing_for_the_others():
    joined = Readings.joined(
        [
            reading([1, 2], speed=np.array([3.0, 4.0]), deep={"hit": np.array([True, False])}),
            reading([5], name=np.array(["a"], dtype=object), deep={"hit": np.array([True])}),
        ]
    )
    assert joined.reward.tolist() == [1, 2, 5]
    assert joined.observation[1]["x"].tolist() == [[1], [2], [5]]
    assert joined.info["speed"].tolist() == [3, 4, 0]
    assert joined.info["name"].tolist() == [None, None, "a"]
    assert joined.info["deep"]["hit"].tolist() == [True, False, True]


def test_some_worlds_readings_are_replaced():
    whole = reading([1, 2, 3], path=np.array([[1.0, 2.0]] * 3))
    other = reading([8, 9], path=np.array([[5.0], [6.0]]))  # of another length
    changed = whole.replaced([2, 0], other)
    assert changed.reward.tolist() == [9, 2, 8]
    assert [list(path) for path in changed.info["path"]] == [[6.0], [1.0, 2.0], [5.0]]
    assert whole.reward.tolist() == [1, 2, 3]
