"""The lighter model that plans are made on: half the time of the environment's, as good a forecast.

It leaves out what predictions of 1.6 s don't need, and takes longer steps. What makes 10 ms the
longest step of the environment is stiffness: a gripper that squeezes and joints that hold hard. A
joint follows its set point with the same lag at any stiffness, so softer ones move alike, and they
keep a grasp at longer steps. ``docs/predictors.md`` has the measured errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mujoco

from codi_franka.physics.model import build_spec
from codi_franka.robot.cell import ARMS

SUBSTEPS = 6
"""Physics steps in a control step of 0.1 s, 16.7 ms each."""


@attrs.frozen
class Lightness:
    """What the light model gives up.

    Attributes:
        substeps: physics steps in a control step.
        joints: the joints' stiffness and damping, as a share of the environment's.
        gripper: the gripper's, likewise. At 16.7 ms and full stiffness cubes slip out of the hand.
        impratio: MuJoCo's ratio of frictional to normal impedance. With 1 a grasp creeps, in 1.6 s
            by less than a cube's tracking noise, and the solver converges sooner.
    """

    substeps: int = SUBSTEPS
    joints: float = 0.5
    gripper: float = 0.2
    impratio: float = 1.0


def build_nominal_model(
    arms: Sequence[str] = ARMS, lightness: Lightness | None = None
) -> mujoco.MjModel:
    """The scene without the arms' links and the floor, and without gravity on the arms.

    The bodies, joints and actuators are those of :func:`codi_franka.physics.model.build_spec`.

    Args:
        arms: names of the arms, in the order of the state.
        lightness: other compromises than the usual ones.
    """
    chosen = lightness or Lightness()
    spec = build_spec(arms, timestep=0.1 / chosen.substeps)
    # Only pads and the table hold, push or stop a cube; arms are kept apart by the cost.
    for geom in list(spec.geoms):
        if "/shape" in geom.name or geom.name == "floor":
            spec.delete(geom)
    # Compensating the weight of each link takes a tenth of the time; see MujocoSimulator on cubes.
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_GRAVITY)
    spec.option.impratio = chosen.impratio
    for actuator in spec.actuators:
        _soften(actuator, chosen.gripper if "gripper" in actuator.name else chosen.joints)
    return spec.compile()


def _soften(actuator: mujoco.MjsActuator, share: float) -> None:
    actuator.gainprm[0] *= share
    actuator.biasprm[1:3] = [share * value for value in actuator.biasprm[1:3]]
