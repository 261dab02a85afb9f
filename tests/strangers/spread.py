"""PettingZoo's ``simple_spread`` as a task: three agents, each to its landmark, without bumping.

Each agent alone knows how to get to its landmark, and nothing of the others.
"""

import attrs
import numpy as np
import torch
from mpe2 import simple_spread_v3

import codi_core as codi
from codi_core.adapters import ParallelEnvironment
from codi_core.policies import AgentView

AGENTS = ("agent_0", "agent_1", "agent_2")
RATE_HZ, DAMPING, FORCE = 10.0, 0.25, 0.5  # as the library moves its agents
SIZE, THERE = 0.15, 0.15  # an agent's radius, and how near is near enough
SPEC = codi.PolicySpec(codi.ActionSpec(("x", "y"), horizon=8, rate_hz=RATE_HZ), {"way": (4,)})
POLICIES = codi.PolicyOffer(
    "each agent to its own landmark",
    tuple(codi.FactorLayout("agent", (i,), AgentView(name), SPEC) for i, name in enumerate(AGENTS)),
    policy="go-there",
)


@codi.hookimpl
def codi_tasks():
    yield codi.TaskRecord("spread", "three agents that cover three landmarks", Spread)


def state(readings):
    """Velocity, place and landmark of each agent, (B, 3, 6)."""
    seen = torch.as_tensor(np.stack([readings.observation[name] for name in AGENTS], 1))
    to_own = torch.stack([seen[:, i, 4 + 2 * i : 6 + 2 * i] for i in range(3)], 1)
    return torch.cat((seen[..., :4], seen[..., 2:4] + to_own), -1)


def observe(readings):
    velocity, place, goal = state(readings).split(2, -1)
    way = torch.cat((goal - place, velocity), -1)
    return {f"{name}/way": way[:, i] for i, name in enumerate(AGENTS)}


def gap(place):
    """The least gap between agents (..., 3, 2), (...)."""
    return (place - place.roll(1, -2)).norm(dim=-1).amin(-1) - 2 * SIZE


def events(readings):
    _, place, goal = state(readings).split(2, -1)
    bumped, far = gap(place) < 0, (goal - place).norm(dim=-1).amax(-1)
    covered = (far < THERE) & ~bumped
    return {"gap": gap(place).numpy(), "failed": bumped.numpy(), "succeeded": covered.numpy()}


def actions(chosen):
    """The library's five numbers: nothing, left, right, down, up."""
    moves = [torch.stack((0 * x, -x, x, -y, y), -1) for x, y in (u.unbind(-1) for u in chosen)]
    return {name: u.clamp(0, 1).numpy() for name, u in zip(AGENTS, moves, strict=True)}


class Roll(codi.Predictor):
    def predict(self, state, chunks):
        velocity, place, goal = (part.unsqueeze(1) for part in state.split(2, -1))
        places = []
        for force in torch.stack(chunks, -2).clamp(-1, 1).unbind(2):  # (B, M, 3, 2) each
            place = place + velocity / RATE_HZ
            velocity = (1 - DAMPING) * velocity + FORCE * force
            places.append(place.expand_as(force))
        return codi.Prediction({"place": torch.stack(places, 2), "goal": goal.unsqueeze(2)})


class Bump(codi.CostFunction):
    def __call__(self, trajectory):
        return (0.1 - gap(trajectory["place"])).clamp_min(0).amax(-1)


class Far(codi.CostFunction):
    def __call__(self, trajectory):
        return (trajectory["place"] - trajectory["goal"]).norm(dim=-1).mean((-1, -2))


class Covered(codi.Metrics):
    def episode(self, events, dt):
        done = np.flatnonzero(events["succeeded"])
        time = float(done[0] * dt) if len(done) else None
        return {"success": time is not None, "completion_time_s": time, "gap": events["gap"].min()}

    def summary(self, records):
        return {"bumped": float(np.mean([record["gap"] < 0 for record in records]))}


class Spread(codi.Task):
    Options = attrs.make_class("Options", [])

    def parts(self, options):
        def environment(resources):
            def make():
                return simple_spread_v3.parallel_env(continuous_actions=True, max_cycles=60)

            return ParallelEnvironment(
                make, rate_hz=RATE_HZ, state=state, observe=observe, events=events, actions=actions
            )

        return codi.TaskParts(
            agents=AGENTS,
            rate_hz=RATE_HZ,
            environment=environment,
            policies={"single-agent": POLICIES},
            predictors={"roll": lambda resources: Roll()},
            default_costs={"bump": 20.0, "far": 1.0},
            metrics=Covered(),
            settings=codi.PlanSettings(temperature=0.05, steps=8, sigma_max=10.0, execute=1),
            max_seconds=5.0,
            after_success=0.0,
        )

    def costs(self):
        return {"bump": Bump, "far": Far}
