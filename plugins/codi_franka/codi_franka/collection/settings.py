"""What demonstrations vary."""

from __future__ import annotations

import attrs


@attrs.frozen
class CollectionSettings:
    """What the demonstrations vary."""

    steps: int = 500
    """Control steps of one demonstration."""
    jump_probability: float = 0.01
    """That the cube jumps to another place, at each step."""
    jump_anywhere: float = 0.2
    """The share of jumps and starts that may lie beyond the arms' reach."""
    action_noise: tuple[float, float] = (0.03, 0.12)
    """Standard deviation of slow disturbances of the executed (not the recorded) linear [m/s] and
    angular [rad/s] velocity: the expert is seen to recover from being off its path."""
    noise_memory: float = 0.85
    """How much of a disturbance lasts to the next step."""
    fumble_probability: float = 0.006
    """That a gripper starts to do something else than it is told, at each step: the expert is
    seen to open a hand that closed on nothing, and to fetch a cube that it lost."""
    fumble_closes: float = 0.75
    """The share of fumbles in which the gripper closes; in the others it opens."""
    fumble_steps: tuple[int, int] = (3, 12)
    """The shortest and the longest fumble, in control steps."""
    start_spread: float = 0.25
    """[rad] Standard deviation of the joints about the home posture at the start."""
    start_anywhere: float = 0.4
    """The share of hands that start anywhere above the table, even beyond the workspace: the
    expert is seen to come back from there."""
    start_radius: float = 0.87
    """[m] The farthest of these from the base's axis."""
    start_clearance: float = 0.1
    """[m] Between two arms at the start; where it is less, both start at home."""
