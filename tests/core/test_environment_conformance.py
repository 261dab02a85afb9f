"""The kit finds what is wrong with an environment; each of these breaks one promise."""

import attrs
import pytest
import torch

from codi_core.tasks import Environment, Step
from codi_core.testing import ConformanceError, check_environment

RATE = 10.0
ACTIONS = [(torch.tensor([[0.3], [-0.2]]),), (torch.tensor([[0.1], [0.4]]),)]


class Counter(Environment):
    """Worlds that add up what is done in them, from the number of their episode."""

    def reset(self, episodes, rows=None):
        starts = torch.tensor([float(key.episode) for key in episodes])
        if rows is None:
            self.steps, self.totals = 0, starts
            self.ages = torch.zeros(len(starts))
        else:
            numbers = torch.tensor(rows)
            self.totals = self.totals.index_copy(0, numbers, starts)
            self.ages = self.ages.index_fill(0, numbers, 0.0)
        return self.look()

    def step(self, actions):
        self.totals = self.totals + actions[0][:, 0]
        self.ages = self.ages + 1
        self.steps += 1
        return self.look()

    def look(self):
        observation = {"total": self.totals.unsqueeze(-1)}
        events = {"age": self.ages.numpy(), "failed": (self.totals > 5).numpy()}
        return Step(self.steps / RATE, self.totals, observation, events)


class Forgetful(Counter):
    def reset(self, episodes, rows=None):
        if rows is None:
            return super().reset(episodes)
        keep = self.totals.clone()
        keep[list(rows)] = torch.tensor([float(key.episode) for key in episodes])
        steps = self.steps
        super().reset([*episodes, *episodes][: len(keep)])
        self.totals, self.steps = keep, steps
        return self.look()


class Stale(Counter):
    """Its worlds keep their age when they start anew."""

    def reset(self, episodes, rows=None):
        ages = None if rows is None else self.ages
        super().reset(episodes, rows)
        self.ages = self.ages if ages is None else ages
        return self.look()


class Entangled(Counter):
    def step(self, actions):
        return super().step((actions[0] - actions[0].mean(0),))


class Rewinding(Counter):
    def reset(self, episodes, rows=None):
        super().reset(episodes, rows)
        self.steps = 0
        return self.look()


class Late(Counter):
    """It is touched only by the first step after the reset."""

    def reset(self, episodes, rows=None):
        self.broken = rows is not None
        return super().reset(episodes, rows)

    def step(self, actions):
        if self.broken:
            self.totals[0] += 1.0
        self.broken = False
        return super().step(actions)


class Unseeded(Counter):
    def look(self):
        step = super().look()
        return attrs.evolve(step, observation={"total": torch.rand(len(self.totals), 1)})


class Hurried(Counter):
    def look(self):
        return attrs.evolve(super().look(), time=2 * self.steps / RATE)


def test_worlds_that_are_apart_pass():
    check_environment(Counter, ACTIONS, RATE)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (Forgetful, "Forgetful: a reset of the second of two worlds touches the first one; 'age'"),
        (Stale, "is no fresh start of its episode; 'age' differs"),
        (Entangled, "a world alone differs from the same world in a batch, 1 control steps after"),
        (Rewinding, "changes the time from 0.2 s to 0.0 s"),
        (Late, "touches the first one, 1 control steps later; 'total' differs"),
        (Unseeded, "two resets with the same keys observe different things"),
        (Hurried, "time is 0.2 s where 0.1 s have passed"),
    ],
)
def test_broken_promises_are_named(environment, message):
    with pytest.raises(ConformanceError, match=message):
        check_environment(environment, ACTIONS, RATE)
