"""The robots' cell: the table, the bases of the arms and the cube.

The *world* frame's origin is the centre of the table top; x points from the left base to the right
base, z points up. An arm's *base* frame has z up and x pointing towards the table's centre.
"""

import attrs

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


@attrs.frozen
class ArmBase:
    """Pose of an arm's base in the world frame: position [m] and quaternion (wxyz)."""

    position: Vector
    quaternion: Quaternion


ARM_BASES: dict[str, ArmBase] = {
    "left": ArmBase((-0.65, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)),
    "right": ArmBase((0.65, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
}
ARMS: tuple[str, ...] = tuple(ARM_BASES)
"""The arms' names, in the order of the agents."""

TABLE_SIZE = (1.8, 1.2)
"""[m] Along x and y."""

TABLE_THICKNESS = 0.1
"""[m] Thick enough that nothing tunnels through it."""

FLOOR_HEIGHT = -0.7
"""[m] World z of the floor, onto which the cube falls from the table's edge."""

CUBE_SIZE = 0.05
"""[m] Edge length."""

CUBE_MASS = 0.1
"""[kg]"""
