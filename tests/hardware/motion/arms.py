"""Ideal arms for the tests, and a judge of what they were sent that shares no code with it."""

import numpy as np

from codi_franka.hardware.reading import ArmReading
from codi_franka.robot.controller import HOME

# Franka's documentation for the FR3, typed in once more.
LOWEST = np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159])
HIGHEST = np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159])
WIRE = 1e-3


def published_bounds(q):
    """FR3's own rule for velocities, joint by joint."""
    rows = (
        (2.62, 0.30, 12.0, 2.75010, 2.75010),
        (2.62, 0.20, 5.17, 1.79180, 1.79180),
        (2.62, 0.20, 7.00, 2.90650, 2.90650),
        (2.62, 0.30, 8.00, -0.1458, 3.0481),
        (5.26, 0.35, 34.0, 2.81010, 2.81010),
        (4.18, 0.35, 11.0, 4.52050, -0.54092),
        (5.26, 0.35, 34.0, 3.01960, 3.01960),
    )
    upper, lower = np.empty_like(q), np.empty_like(q)
    for joint, (most, offset, twice, above, below) in enumerate(rows):
        for bound, left in ((upper, above - q[..., joint]), (lower, below + q[..., joint])):
            root = np.sqrt(np.maximum(0.0, twice * left)) - offset
            bound[..., joint] = np.minimum(most, np.maximum(0.0, root))
    return -lower, upper


def wire_violations(start, velocities, period):
    """By how much commands break each of the published limits, 0 where they don't.

    What is sent is a ramp from each command to the next, seen once a millisecond.

    Args:
        start: (..., 7) joint positions [rad], at rest.
        velocities: (T, ..., 7) commands [rad/s], the first one period after the start.
        period: between them [s].
    """
    count = round(period / WIRE)
    ends = np.concatenate((np.zeros_like(velocities[:1]), velocities))
    share = (np.arange(1, count + 1) / count).reshape(1, -1, *[1] * (ends.ndim - 1))
    ramps = ends[:-1, None] + share * (ends[1:] - ends[:-1])[:, None]
    sent = np.concatenate((ends[:1], ramps.reshape(-1, *ends.shape[1:])))
    acceleration = np.diff(sent, axis=0) / WIRE
    jerk = np.diff(np.concatenate((np.zeros_like(sent[:1]), acceleration)), axis=0) / WIRE
    position = start + WIRE * np.cumsum((sent[1:] + sent[:-1]) / 2, 0)
    lower, upper = published_bounds(position)
    over = {
        "position": np.maximum(position - HIGHEST, LOWEST - position),
        "velocity": np.maximum(sent[1:] - upper, lower - sent[1:]),
        "acceleration": np.abs(acceleration) - 10.0,
        "jerk": np.abs(jerk) - 5000.0,
    }
    return {name: max(0.0, float(value.max())) for name, value in over.items()}


NOTHING = {"position": 0.0, "velocity": 0.0, "acceleration": 0.0, "jerk": 0.0}


class IdealArms:
    """Two arms that do exactly as they are told."""

    def __init__(self, positions=(HOME, HOME), period=0.004):
        self.positions = np.array(positions, dtype=float)
        self.start = self.positions.copy()
        self.velocities = np.zeros((2, 7))
        self.period, self.time = period, 0.0
        self.sent = []
        self.force, self.torques = np.zeros((2, 3)), np.zeros((2, 7))

    def readings(self):
        return [
            ArmReading(
                time=self.time,
                joint_positions=self.positions[arm].copy(),
                joint_velocities=self.velocities[arm].copy(),
                force=self.force[arm].copy(),
                joint_torques=self.torques[arm].copy(),
                desired_positions=self.positions[arm].copy(),
            )
            for arm in (0, 1)
        ]

    def send(self, velocities):
        self.positions = self.positions + self.period / 2 * (self.velocities + velocities)
        self.velocities = np.array(velocities)
        self.time += self.period
        self.sent.append(self.velocities)

    def violations(self):
        return wire_violations(self.start, np.array(self.sent), self.period)
