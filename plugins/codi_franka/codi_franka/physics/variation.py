"""Physical properties that differ from world to world."""

from __future__ import annotations

import attrs
from torch import Tensor

from codi_franka.physics.simulator import CubeProperties


@attrs.frozen
class CubeVariation:
    """The ranges from which the cube's mass and friction are drawn for an episode."""

    mass: tuple[float, float] = (0.05, 0.2)
    """[kg]"""
    friction: tuple[float, float] = (0.7, 1.2)
    """Factors on the nominal coefficients."""

    def sample(self, draw: Tensor) -> CubeProperties:
        """The cubes of n worlds, from values uniform on [0, 1), (n, 2)."""
        of_mass, of_friction = draw.double().unbind(-1)
        return CubeProperties(
            mass=self.mass[0] + of_mass * (self.mass[1] - self.mass[0]),
            friction=self.friction[0] + of_friction * (self.friction[1] - self.friction[0]),
        )
