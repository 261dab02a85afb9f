"""Shadows on the table, cheap enough for software rendering.

MuJoCo's shadow maps draw everything three times, which makes a picture without a graphics card
three times as slow. A table is flat: what stands on it is pressed along the light onto its top and
drawn once more in a darker colour.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from codi_franka.rendering import palette
from codi_franka.robot import cell

LIGHT_DIRECTION = (-0.15, 0.22, -1.0)
_DARKNESS = 0.62
_LIFT = 6e-4
"""[m] Above the table top and below the goal's mark."""
_FLATNESS = 1e-3
"""Not zero: MuJoCo inverts the matrix for the normals."""


class TableShadows:
    """Adds the shadows of some shapes to a scene that is about to be drawn.

    Args:
        casters: (ngeom,) booleans, which of the model's geoms cast a shadow.
    """

    def __init__(self, casters: NDArray[np.bool_]) -> None:
        self._casters = casters
        x, y, z = LIGHT_DIRECTION
        self._press = np.array([[1.0, 0.0, -x / z], [0.0, 1.0, -y / z], [0.0, 0.0, _FLATNESS]])
        self._half = np.array(cell.TABLE_SIZE) / 2
        rgb = _DARKNESS * np.array(palette.TABLE)
        self._rgba = np.array((*rgb, 1.0), np.float32)

    def __call__(self, scene: mujoco.MjvScene) -> None:
        """Append to ``scene``, which has room for twice its shapes."""
        for number in range(scene.ngeom):
            geom = scene.geoms[number]
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and self._casters[geom.objid]:
                self._append(scene, geom)

    def _append(self, scene: mujoco.MjvScene, geom: mujoco.MjvGeom) -> None:
        place = self._press @ geom.pos
        if geom.pos[2] < 0 or (np.abs(place[:2]) > self._half).any():
            return  # it would hang in the air beside the table
        place[2] += _LIFT
        shadow = scene.geoms[scene.ngeom]
        matrix = self._press @ geom.mat
        mujoco.mjv_initGeom(shadow, geom.type, geom.size, place, matrix.ravel(), self._rgba)
        shadow.dataid = geom.dataid
        shadow.specular = 0.0
        scene.ngeom += 1
