"""What is measured of the true worlds: contacts and distances between the arms."""

from __future__ import annotations

from itertools import combinations, product

import mujoco
import numpy as np
from numpy.typing import NDArray

from codi_franka.physics.model import DEFAULT_TIMESTEP, build_spec

HAND_BODIES = ("hand", "left_finger", "right_finger")
FAR = 2.0
"""[m] Distances are measured up to here."""

_FOUND = (1, 0, 1)
"""intprm of a contact sensor: report only how many contacts match, unreduced, in one slot."""

_NET_FORCE = (3, 3, 1)
"""Likewise: how many contacts match, and the sum of their forces in the world frame."""


def instrumented_model(arms: tuple[str, ...], timestep: float = DEFAULT_TIMESTEP) -> mujoco.MjModel:
    """The physics model with sensors for contacts between arms, and of the cube with an arm."""
    spec = build_spec(arms, timestep=timestep)
    pairs = tuple(combinations(arms, 2))
    for one, other in pairs:
        bodies = (f"{one}/link0", f"{other}/link0")
        _add_contact(spec, f"arm_contact/{one}/{other}", bodies, _FOUND)
    for arm in arms:
        _add_contact(spec, f"cube_contact/{arm}", (f"{arm}/link0", "cube"), _NET_FORCE)
    for (one, other), first, second in product(pairs, HAND_BODIES, HAND_BODIES):
        spec.add_sensor(
            name=f"hand_distance/{one}/{first}/{other}/{second}",
            type=mujoco.mjtSensor.mjSENS_GEOMDIST,
            objtype=mujoco.mjtObj.mjOBJ_BODY,
            objname=f"{one}/{first}",
            reftype=mujoco.mjtObj.mjOBJ_BODY,
            refname=f"{other}/{second}",
            cutoff=FAR,
        )
    return spec.compile()


class SensorReadings:
    """Finds the sensors' columns in the sensor data, (..., S).

    Attributes:
        arm_contact_columns: above 0 while arms touch one another.
        cube_contact_columns: above 0 while an arm touches the cube, one each.
        cube_force_columns: (N, 3), the arms' net forces on the cube [N], world frame.
        distance_columns: between two hands' geometries [m].
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        names = [model.sensor(index).name for index in range(model.nsensor)]
        columns = {name: int(model.sensor(name).adr[0]) for name in names}
        self.arm_contact_columns, self.cube_contact_columns, self.distance_columns = (
            [columns[name] for name in names if name.startswith(kind)]
            for kind in ("arm_contact/", "cube_contact/", "hand_distance/")
        )
        self.cube_force_columns = np.array(self.cube_contact_columns)[:, None] + (1, 2, 3)

    def arm_contact(self, data: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether arms touch one another, (...)."""
        return np.asarray((data[..., self.arm_contact_columns] > 0).any(-1))

    def cube_contact(self, data: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether an arm touches the cube, (...)."""
        return np.asarray((data[..., self.cube_contact_columns] > 0).any(-1))

    def cube_force(self, data: NDArray[np.float64]) -> NDArray[np.float64]:
        """The net force of each arm on the cube [N], world frame, (..., N, 3)."""
        force: NDArray[np.float64] = data[..., self.cube_force_columns]
        return force

    def hand_distance(self, data: NDArray[np.float64]) -> NDArray[np.float64]:
        """Between the hands' and fingers' geometries [m], (...); at most ``FAR``."""
        nearest: NDArray[np.float64] = data[..., self.distance_columns].min(-1, initial=FAR)
        return nearest


def _add_contact(
    spec: mujoco.MjSpec, name: str, bodies: tuple[str, str], reported: tuple[int, int, int]
) -> None:
    """Contacts between two bodies with all that hangs on them."""
    first, second = bodies
    spec.add_sensor(
        name=name,
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=mujoco.mjtObj.mjOBJ_XBODY,
        objname=first,
        reftype=mujoco.mjtObj.mjOBJ_XBODY,
        refname=second,
        intprm=reported,
    )
