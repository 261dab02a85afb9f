"""Small sets of demonstrations for tests."""

import numpy as np

from codi_core.data import DatasetWriter, FeatureSpec

FEATURES = {
    "observation.state": FeatureSpec((2,), ("x [m]", "y [m]")),
    "observation.environment_state": FeatureSpec((1,)),
    "action": FeatureSpec((2,), ("dx", "dy")),
    "state.cube": FeatureSpec((7,)),
}


def episode(number, length):
    """Frames in which each value tells its episode and frame: action (t, -t), state 100 e + t."""
    t = np.arange(length, dtype=np.float32)
    return {
        "observation.state": np.stack([100 * number + t, -t], -1),
        "observation.environment_state": 10 * t + number,
        "action": np.stack([t, -t], -1) + 100 * number,
        "state.cube": np.repeat(t[:, None], 7, -1),
    }


def write(root, lengths=(5, 3, 4), **settings):
    """Write episodes of these lengths, with two alternating tasks, at 10 Hz."""
    with DatasetWriter(root, FEATURES, 10, "toy", **settings) as writer:
        for number, length in enumerate(lengths):
            writer.add_episode(episode(number, length), f"task {number % 2}")
    return root


def write_gaussian(root, episodes=12, length=20, seed=0):
    """Demonstrations that a policy can learn: actions N(0.5 state, 0.1²)."""
    rng = np.random.default_rng(seed)
    features = {"observation.state": FeatureSpec((2,)), "action": FeatureSpec((2,), ("x", "y"))}
    with DatasetWriter(root, features, 10, "toy") as writer:
        for _ in range(episodes):
            state = rng.normal(size=(length, 2))
            action = 0.5 * state + 0.1 * rng.normal(size=(length, 2))
            writer.add_episode({"observation.state": state, "action": action}, "follow")
    return root
