"""Gymnasium's ``Pendulum-v1`` as a task: two weak motors on one shaft are to stand it up.

One was made for swinging, and only ever drives along with the motion; the other only ever pulls
upwards. Neither can do it alone, and side by side they fight.
"""

import attrs
import gymnasium
import torch

import codi_core as codi
from codi_core.adapters import VectorEnvironment
from codi_core.policies import AgentView

MOTORS, RATE_HZ = ("swing", "balance"), 20.0
SPEC = codi.PolicySpec(codi.ActionSpec(("torque [N m]",), rate_hz=RATE_HZ), {"habit": (1,)})
OFFER = codi.PolicyOffer(
    "each motor does what it is used to",
    tuple(codi.FactorLayout("motor", (i,), AgentView(name), SPEC) for i, name in enumerate(MOTORS)),
    policy="habit",
)


@codi.hookimpl
def codi_tasks():
    yield codi.TaskRecord("tandem", "two motors on the shaft of a pendulum", Tandem)


@codi.hookimpl
def codi_base_policies():
    yield codi.BasePolicyRecord("habit", "a Gaussian around a habit", Habit, tasks=("tandem",))


def state(readings):
    """Angle from upright [rad] and speed [rad/s], (B, 2)."""
    x, y, speed = torch.as_tensor(readings.observation).unbind(-1)
    return torch.stack((torch.atan2(y, x), speed), -1)


def observe(readings):
    """What each motor is used to do now [N m], (B, 1)."""
    angle, speed = state(readings).split(1, -1)
    return {"swing/habit": speed.sign(), "balance/habit": (-8 * angle - 2 * speed).clamp(-1, 1)}


def events(readings):
    angle, speed = state(readings).abs().numpy().T
    return {"angle": angle, "succeeded": (angle < 0.1) & (speed < 0.3)}


class Habit(codi.BasePolicy):
    """N(habit, spread²): the motor goes on with its present torque, more or less."""

    def __init__(self, spec, checkpoint, resources, spread=0.7):
        self.spec, self.spread = spec, torch.tensor([spread])
        self.normaliser = codi.Normaliser(torch.zeros(1), self.spread).to(resources.device)

    def denoiser(self, observation):
        habit = self.normaliser.encode(observation["habit"][:, -1])  # (B, 1), for all actions

        def denoise(noisy, sigma):
            mean, variance = (x.reshape(-1, *[1] * (noisy.ndim - 1)) for x in (habit, sigma**2))
            return (noisy + variance * mean) / (1 + variance)

        return denoise


class Swing(codi.Predictor):
    """Angle and speed after each action, (B, M, K, 2)."""

    def predict(self, state, chunks):
        (angle, speed), steps = state.unsqueeze(1).unbind(-1), []
        for torque in sum(chunk.clamp(-1, 1) for chunk in chunks)[..., 0].unbind(2):  # (B, M)
            speed = (speed + (15 * angle.sin() + 3 * torque) / RATE_HZ).clamp(-8, 8)
            angle = angle + speed / RATE_HZ
            steps.append(torch.stack((angle, speed), -1))
        return codi.Prediction(torch.stack(steps, 2))


class Fallen(codi.CostFunction):
    def __call__(self, trajectory):
        angle, speed = trajectory.unbind(-1)
        return (2 - 2 * angle.cos() + 0.1 * speed.square()).mean(-1)


class Stood(codi.Metrics):
    def episode(self, events, dt):
        success, first = bool(events["succeeded"].any()), events["succeeded"].argmax()
        return {"success": success, "completion_time_s": first * dt if success else None}

    def summary(self, records):
        return {"stood": sum(record["success"] for record in records)}


class Tandem(codi.Task):
    Options = attrs.make_class("Options", [])

    def costs(self):
        return {"fallen": Fallen}

    def parts(self, options):
        return codi.TaskParts(
            agents=MOTORS,
            rate_hz=RATE_HZ,
            environment=lambda resources: VectorEnvironment(
                lambda worlds: gymnasium.make_vec("Pendulum-v1", num_envs=worlds),
                rate_hz=RATE_HZ,
                state=state,
                observe=observe,
                events=events,
                actions=lambda chosen: sum(torque.clamp(-1, 1) for torque in chosen).numpy(),
            ),
            policies={"single-agent": OFFER},
            predictors={"swing": lambda resources: Swing()},
            default_costs={"fallen": 1.0},
            metrics=Stood(),
            settings=codi.PlanSettings(temperature=0.1, steps=12, sigma_max=20.0, execute=2),
            max_seconds=10.0,
            after_success=0.0,
        )
