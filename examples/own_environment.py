"""An environment of somebody else: PettingZoo's simple_spread, in the closed loop.

It needs the package mpe2. Each of three agents knows the way to its own landmark, and nothing of
the others; that they don't bump into each other comes from a cost.
"""

import numpy as np
import torch
from mpe2 import simple_spread_v3

import codi_core as codi
from codi_core.adapters import ParallelEnvironment
from codi_core.execution import LoopSettings, RecedingHorizon, SimulatedPlant

AGENTS, RATE_HZ, HORIZON = ("agent_0", "agent_1", "agent_2"), 10.0, 8


def state(readings):
    """Velocity, place and own landmark of each agent, (B, 3, 6)."""
    seen = torch.as_tensor(np.stack([readings.observation[name] for name in AGENTS], 1))
    to_own = torch.stack([seen[:, i, 4 + 2 * i : 6 + 2 * i] for i in range(3)], 1)
    return torch.cat((seen[..., :4], seen[..., 2:4] + to_own), -1)


def gap(place):
    """The least gap between two agents' rims (..., 3, 2), (...)."""
    return (place - place.roll(1, -2)).norm(dim=-1).amin(-1) - 0.3


def moves(chosen):
    """PettingZoo's five numbers an agent: nothing, left, right, down, up."""
    signed = [torch.stack((0 * x, -x, x, -y, y), -1) for x, y in (u.unbind(-1) for u in chosen)]
    return {name: u.clamp(0, 1).numpy() for name, u in zip(AGENTS, signed, strict=True)}


class GoThere(codi.BasePolicy):
    """A Gaussian around a controller that brings an agent to its landmark."""

    spec = codi.PolicySpec(codi.ActionSpec(("x", "y"), HORIZON, RATE_HZ), {"state": (3, 6)})
    normaliser = codi.Normaliser.identity(2)

    def __init__(self, agent):
        self.agent = agent

    def denoiser(self, observation):
        velocity, place, goal = observation["state"][:, -1, self.agent].split(2, -1)
        mean = (3 * (goal - place) - 1.2 * velocity).clamp(-1, 1).repeat(1, HORIZON)
        return lambda noisy, sigma: (noisy + sigma**2 * mean) / (1 + sigma**2)


class Roll(codi.Predictor):
    """Where the agents go, (B, M, K, 3, 2), as the library moves them, and where they want to."""

    def predict(self, state, chunks):
        velocity, place, goal = (part.unsqueeze(1) for part in state.split(2, -1))
        places = []
        for force in torch.stack(chunks, -2).clamp(-1, 1).unbind(2):
            place = place + 0.1 * velocity
            velocity = 0.75 * velocity + 0.5 * force
            places.append(place.expand_as(force))
        return codi.Prediction((torch.stack(places, 2), goal.unsqueeze(2)))


class Spread(codi.CostFunction):
    """Keep clear of one another, and come near to the landmarks."""

    def __call__(self, trajectory):
        place, goal = trajectory
        near = (0.1 - gap(place)).clamp_min(0).amax(-1)
        return 20 * near + (place - goal).norm(dim=-1).mean((-1, -2))


environment = ParallelEnvironment(
    lambda: simple_spread_v3.parallel_env(continuous_actions=True, max_cycles=60),
    rate_hz=RATE_HZ,
    state=state,
    observe=lambda readings: {"state": state(readings)},
    events=lambda readings: {"gap": gap(state(readings)[..., 2:4]).numpy()},
    actions=moves,
)
episodes = [codi.EpisodeKey(seed=1, episode=number) for number in range(12)]
product = codi.ProductPolicy(
    codi.Factor(GoThere(i), (i,), observe=lambda joint: joint) for i in range(3)
)
sampler = codi.AncestralSampler(codi.KarrasSchedule(steps=8, sigma_max=10.0, sigma_min=0.05))
guidance = codi.MonteCarloGuidance(codi.MatchedPosterior(), samples=64, temperature=0.05)
for name, term in (("alone", codi.NoGuidance()), ("together", guidance)):
    planner = codi.CoordinatedPolicy(product, term, sampler, Roll(), Spread())
    loop = RecedingHorizon(planner, LoopSettings(RATE_HZ, HORIZON, execute=1, max_seconds=5.0))
    rollout = loop.run(SimulatedPlant(environment, episodes, RATE_HZ), episodes)
    bumped = (rollout.events["gap"].min(0) < 0).mean()
    print(f"{name}: agents bump in {bumped:.0%} of {len(episodes)} episodes")
