"""What the cameras would get wrong: noise on the estimated pose of the cube."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_franka.geometry import quaternion_exp, quaternion_multiply
from codi_franka.state import FrankaState

Draw = tuple[Tensor, Tensor]
"""Standard normal values for positions (B, 3) and rotations (B, 3)."""


@attrs.frozen
class CubeNoise:
    """White noise on the cube's pose, of the size that tracking with markers reaches."""

    position_std: float = 0.0015
    """[m] Along each axis."""
    rotation_std: float = 0.01
    """[rad] About each axis."""

    def apply(self, state: FrankaState, draw: Draw) -> FrankaState:
        """The estimate that a tracker would give of the true ``state``."""
        position, rotation = draw
        turned = quaternion_multiply(
            quaternion_exp(self.rotation_std * rotation), state.cube_quaternion
        )
        return attrs.evolve(
            state,
            cube_position=state.cube_position + self.position_std * position,
            cube_quaternion=turned,
        )


NO_NOISE = CubeNoise(0.0, 0.0)


def normal_draw(worlds: int, generator: torch.Generator) -> Draw:
    """One draw from a single stream, for worlds that need not be reproducible alone."""
    values = torch.randn(worlds, 6, generator=generator)
    return values[:, :3], values[:, 3:]
