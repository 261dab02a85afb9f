"""The lighter model that plans are made on: a quarter of the environment's time, and as good.

It leaves out what predictions of 1.6 s don't need, and takes longer steps. What makes 10 ms the
longest step of the environment is stiffness: a gripper that squeezes and joints that hold hard. So
here springs and dampers act at a step's end, as in an implicit step. That is a matter of the model
alone: with a spring's stiffness k, all damping b, and a step h, the end's velocity v' and force are

    v' = v + h a        k (u - q - h v') - b v' = k (u - q) - (b + h k) v - (h b + h^2 k) a

so h b + h^2 k is added to a joint's inertia, h k to its damping, and a plain explicit step does the
rest. Joints without contacts move as they do with an implicit integrator, nothing is factorised
twice, and contacts are solved for the inertia that bodies show in that step, so that friction holds
what the gripper holds. ``docs/predictors.md`` has the measured errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mujoco

from codi_franka.physics.model import build_spec
from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.cell import ARMS

SUBSTEPS = 4
"""Physics steps in a control step of 0.1 s, 25 ms each."""

FINGERS = ("finger_joint1", "finger_joint2")
"""What a gripper moves; an equality holds them together."""

_OUT = mujoco.mjtDisableBit.mjDSBL_GRAVITY | mujoco.mjtDisableBit.mjDSBL_NATIVECCD
"""Compensating the weight of each link takes a tenth of the time, see MujocoSimulator on cubes; and
boxes meet by their own formulas, as they do in MuJoCo in any case, in MuJoCo Warp, too."""


@attrs.frozen
class Lightness:
    """What the light model gives up.

    Attributes:
        substeps: physics steps in a control step.
        joints: the joints' stiffness and damping, as a share of the environment's.
        gripper: the gripper's, likewise.
        impratio: MuJoCo's ratio of frictional to normal impedance. With 1 the solver converges
            sooner than with the environment's 10.
        iterations: of the solver, at most. From the last step's forces two are enough.
        implicit: whether springs and dampers act at a step's end. Otherwise cubes slip out of the
            hand at steps of more than 10 ms, unless gripper and joints are far softer.
    """

    substeps: int = SUBSTEPS
    joints: float = 0.5
    gripper: float = 0.2
    impratio: float = 1.0
    iterations: int = 3
    implicit: bool = True


def build_nominal_model(
    arms: Sequence[str] = ARMS, lightness: Lightness | None = None, box: Box = CUBE
) -> mujoco.MjModel:
    """The scene without the arms' links, floor and lamp, and without gravity on the arms.

    The bodies, joints and actuators are those of :func:`codi_franka.physics.model.build_spec`; a
    gripper pushes one finger twice as hard, and the other one follows, instead of pulling a tendon.

    Args:
        arms: names of the arms, in the order of the state.
        lightness: other compromises than the usual ones.
        box: what stands for the cube.
    """
    chosen = lightness or Lightness()
    spec = build_spec(arms, timestep=0.1 / chosen.substeps, box=box)
    # Only pads and the table hold, push or stop a cube; arms are kept apart by the cost.
    for geom in list(spec.geoms):
        if "/shape" in geom.name or geom.name == "floor":
            spec.delete(geom)
    for part in [*spec.lights, *spec.tendons]:
        spec.delete(part)
    spec.option.disableflags |= int(_OUT)
    spec.option.impratio = chosen.impratio
    spec.option.iterations = chosen.iterations
    joints = {joint.name: joint for joint in spec.joints}
    for actuator in spec.actuators:
        arm, part = actuator.name.split("/")
        moved: tuple[str, ...] = (part,)
        share = chosen.joints
        if part == "gripper":
            moved, share = FINGERS, chosen.gripper
            _push(actuator, f"{arm}/{FINGERS[0]}")
        _soften(actuator, share)
        if chosen.implicit:
            of_arm = [joints[f"{arm}/{name}"] for name in moved]
            _act_at_the_end(actuator, of_arm, spec.option.timestep)
    if chosen.implicit:
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
        spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)
    return spec.compile()


def _push(gripper: mujoco.MjsActuator, finger: str) -> None:
    """The width is twice a finger's travel, and so is the force on the one that is pushed."""
    gripper.trntype = mujoco.mjtTrn.mjTRN_JOINT
    gripper.target = finger
    gripper.gear[0] = 2.0


def _soften(actuator: mujoco.MjsActuator, share: float) -> None:
    actuator.gainprm[0] *= share
    actuator.biasprm[1:3] = [share * value for value in actuator.biasprm[1:3]]


def _act_at_the_end(
    actuator: mujoco.MjsActuator, joints: Sequence[mujoco.MjsJoint], step: float
) -> None:
    """Have a spring, and the damping of the joints that it moves alike, act at a step's end."""
    stiffness, damping, gear = actuator.gainprm[0], -actuator.biasprm[2], actuator.gear[0]
    shown = gear**2 * (step * damping + step**2 * stiffness) / len(joints)
    for joint in joints:
        joint.armature += shown + step * joint.damping[0]
    actuator.biasprm[2] -= step * stiffness
    # An integrated set point, too, is that of the step's end.
    actuator.actearly = actuator.dyntype != mujoco.mjtDyn.mjDYN_NONE
