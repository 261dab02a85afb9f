"""What the cameras would get wrong: noise on the estimated pose of the cube."""

from __future__ import annotations

import attrs
from torch import Tensor

from codi_franka.geometry import quaternion_exp, quaternion_multiply
from codi_franka.state import FrankaState


@attrs.frozen
class CubeNoise:
    """White noise on the cube's pose, of the size that tracking with markers reaches."""

    position_std: float = 0.0015
    """[m] Along each axis."""
    rotation_std: float = 0.01
    """[rad] About each axis."""

    def apply(self, state: FrankaState, draw: Tensor) -> FrankaState:
        """The estimate that a tracker would give of a true state.

        Args:
            state: of B worlds.
            draw: standard normal values, (B, 6): for the position, and for the rotation.
        """
        position, rotation = draw[:, :3], draw[:, 3:]
        turned = quaternion_multiply(
            quaternion_exp(self.rotation_std * rotation), state.cube_quaternion
        )
        return attrs.evolve(
            state,
            cube_position=state.cube_position + self.position_std * position,
            cube_quaternion=turned,
        )


NO_NOISE = CubeNoise(0.0, 0.0)
