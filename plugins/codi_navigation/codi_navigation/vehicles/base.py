"""The interface of a vehicle kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache

import torch
from torch import Tensor

TOP_SPEED = 1.0
"""[m/s]"""
ACCELERATION = 2.0
"""[m/s²] From standing to top speed in half a second and a quarter of a metre."""
PERIOD = 0.1
"""[s] The control period, at 10 Hz."""


class Vehicle(ABC):
    """A kind of disk robot, batched over worlds, robots and samples.

    A command is first limited (:meth:`respond`); the velocity that results is held for a control
    period (:meth:`move`). Environment and predictor use the same two methods.

    Tensors begin with the control steps K and with components, and end in axes of any number and
    shape (...). A pose has the components x [m], y [m] and heading [rad], in the world frame; a
    velocity has those of a command, which :attr:`action_names` names.

    Attributes:
        kind: its name on the command line and in checkpoints.
        action_names: the two numbers of a command, with units.
        turning_round: how long it takes to face the other way on the spot [s].
    """

    kind: str
    action_names: tuple[str, str]
    turning_round: float

    @abstractmethod
    def respond(self, velocity: Tensor, commands: Tensor) -> Tensor:
        """The velocity of each control period, within the limits of speed and acceleration.

        Args:
            velocity: at the start, (2, ...).
            commands: (K, 2, ...).

        Returns:
            (K, 2, ...).
        """

    @abstractmethod
    def move(self, pose: Tensor, velocities: Tensor, seconds: float) -> Tensor:
        """Where the disks are after each step of a time with a constant velocity, exactly.

        Args:
            pose: at the start, (3, ...).
            velocities: (K, 2, ...).
            seconds: how long each of them is held.

        Returns:
            (K, 3, ...).
        """


def running_sum(steps: Tensor) -> Tensor:
    """The sums of all first steps (K, ...); several times as fast as ``cumsum`` along that axis."""
    flat = steps.reshape(len(steps), -1)
    return torch.matmul(_ones_below(len(steps), steps.dtype, steps.device), flat).view(steps.shape)


@lru_cache
@torch.inference_mode(False)  # it outlives the plan that asks first
def _ones_below(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.ones(size, size, dtype=dtype, device=device).tril()


@lru_cache
@torch.inference_mode(False)
def constant(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of these numbers; made once, not for each plan."""
    return torch.tensor(numbers, dtype=dtype, device=device)
