"""Physical properties that differ from world to world."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.robot.layout import CUBE_MASS


@attrs.frozen
class CubeVariation:
    """The ranges from which the cube's mass and friction are drawn for an episode."""

    mass: tuple[float, float] = (0.05, 0.2)
    """[kg]"""
    friction: tuple[float, float] = (0.7, 1.2)
    """Factors on the nominal coefficients."""

    def sample(self, draw: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Masses (n,) [kg] and friction factors (n,), from values uniform on [0, 1), (2, n)."""
        mass = self.mass[0] + draw[0] * (self.mass[1] - self.mass[0])
        friction = self.friction[0] + draw[1] * (self.friction[1] - self.friction[0])
        return mass, friction


def vary_cube(
    simulator: MujocoSimulator,
    mass: NDArray[np.float64],
    friction: NDArray[np.float64],
) -> None:
    """Give each copy of a simulator its own cube.

    Args:
        simulator: n copies.
        mass: (n,) [kg]; the inertia scales with it.
        friction: (n,), factors on the nominal friction of the cube and of the finger pads.
    """
    model, index = simulator.model, simulator.index
    masses = simulator.batch.expand("body_mass")
    inertias = simulator.batch.expand("body_inertia")
    frictions = simulator.batch.expand("geom_friction")
    masses[:, index.cube_body] = mass
    inertias[:, index.cube_body] = model.body_inertia[index.cube_body] * (mass / CUBE_MASS)[:, None]
    # A contact takes the larger of two frictions, so the pads and the table must change with it.
    for geom in (
        index.cube_geom,
        index.table_geom,
        *(pad for arm in index.arms for pad in arm.pads),
    ):
        frictions[:, geom] = model.geom_friction[geom] * friction[:, None]
    simulator.batch.set_const()
