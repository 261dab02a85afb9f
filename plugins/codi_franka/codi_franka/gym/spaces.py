"""What the gymnasium environment takes and gives: bounds, units and scales."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from codi_core.planning import Observation
from codi_franka.observation import ENVIRONMENT, ENVIRONMENT_NAMES, STATE, STATE_NAMES
from codi_franka.robot.cell import ARMS
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.parameters import MAX_WIDTH

Array = NDArray[np.float32]

ACTION_SIZE = 7
"""Of one arm: linear velocity (3), angular velocity (3), gripper width (1)."""
ACTIONS = len(ARMS) * ACTION_SIZE
"""Of all arms."""

_BOUNDS = {"m": 5.0, "m/s": 10.0, "rad": 4.0, "rad/s": 50.0, "": 1.0}
"""Magnitudes that no working arm exceeds, by unit; what lies outside is clipped."""


def _bound() -> Array:
    """The largest magnitudes of what one arm observes, from the units in the values' names."""
    units = [name.partition("[")[2].rstrip("]") for name in (*STATE_NAMES, *ENVIRONMENT_NAMES)]
    return np.array([_BOUNDS[unit] for unit in units], np.float32)


def observation_space() -> spaces.Dict:
    """What is observed, a dictionary of arrays.

    ``left`` and ``right``: what that arm's policy sees, in its own base frame: the numbers of
    ``observation.state`` and then those of ``observation.environment_state``, named in
    :mod:`codi_franka.observation`. ``goal``, (3,): where the cube should be [m], world frame.
    """
    bound = _bound()
    arms = {arm: spaces.Box(-bound, bound, dtype=np.float32) for arm in ARMS}
    return spaces.Dict({**arms, "goal": spaces.Box(-5.0, 5.0, (3,), np.float32)})


def action_space() -> spaces.Box:
    """(14,) in [-1, 1]: the left arm's 7 numbers and then the right arm's, in their base frames.

    ±1 stands for ±0.5 m/s and ±2 rad/s along and about x, y and z; the gripper's width goes from
    0 at -1 to 0.08 m at 1. Velocities longer than that limit are shortened to it.
    """
    return spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)


def physical_actions(actions: NDArray[np.floating]) -> tuple[Tensor, ...]:
    """From the action space to one (n, 7) tensor an arm in SI units.

    Args:
        actions: (n, 14); clipped to [-1, 1].
    """
    limits = EndEffectorController()
    scaled = torch.as_tensor(np.asarray(actions, np.float32)).clamp(-1.0, 1.0)
    return tuple(
        torch.cat(
            (
                limits.linear_limit * part[:, :3],
                limits.angular_limit * part[:, 3:6],
                MAX_WIDTH * (part[:, 6:] + 1) / 2,
            ),
            -1,
        )
        for part in scaled.unflatten(-1, (len(ARMS), ACTION_SIZE)).unbind(1)
    )


def encode_observation(observation: Observation, goal: NDArray[np.floating]) -> dict[str, Array]:
    """From the task's joint observation to the observation space, batched.

    Args:
        observation: named tensors (n, ...).
        goal: (n, 3) [m], world frame.
    """
    bound = _bound()
    encoded = {
        arm: np.clip(
            torch.cat((observation[f"{arm}/{STATE}"], observation[f"{arm}/{ENVIRONMENT}"]), -1)
            .nan_to_num()
            .numpy(),
            -bound,
            bound,
        )
        for arm in ARMS
    }
    return {**encoded, "goal": np.array(goal, np.float32)}
