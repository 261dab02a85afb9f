"""What demonstrations vary, besides maps and behaviours."""

from __future__ import annotations

import attrs

from codi_navigation.collection.behaviours import BEGINS


@attrs.frozen
class CollectionSettings:
    """What the demonstrations vary, besides maps and behaviours."""

    steps: int = 110
    """Control steps of one demonstration."""
    noise: tuple[float, float] = (0.1, 0.06)
    """Standard deviation of slow disturbances of the executed (not the recorded) commands [m/s],
    holonomic and unicycle: the expert is seen to recover from being off its path."""
    turning_noise: float = 0.3
    """[rad/s] The same of a unicycle's turning rate."""
    noise_memory: float = 0.85
    """How much of a disturbance lasts to the next step."""
    moving_start: float = 0.6
    """The share of robots that start at some speed."""
    stay: float = 0.06
    """That robots at their goals get the next ones, in each step."""
    begins: float = BEGINS
    """That a behaviour begins, in each step of driving to the goal."""


@attrs.frozen
class JointSettings(CollectionSettings):
    """The same for joint demonstrations, whose starts and goals are the task's."""

    steps: int = 200
    noise: tuple[float, float] = (0.05, 0.04)
    begins: float = 0.004
    start_anywhere: float = 0.5
    """The share of robots that start anywhere on their side, instead of where the task has them."""
