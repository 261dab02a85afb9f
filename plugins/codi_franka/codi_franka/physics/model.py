"""A mesh-free MuJoCo model of FR3 arms at a table with a cube, built from tables of numbers.

The arms' joints are driven by velocity commands whose integral is the set point of a stiff spring
(``intvelocity``), as the real robot's joint velocity interface does: a command holds at any rate
without a host loop. A gripper's command is its width in metres.
"""

import math
from collections.abc import Sequence

import mujoco
import numpy as np

from codi_franka.robot import cell
from codi_franka.robot import parameters as fr3
from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.cell import ARM_BASES, ARMS

DEFAULT_TIMESTEP = 0.01
"""[s] Scripted open-loop handovers of a randomised cube that succeed: 408 of 408 at 10 ms, 216 of
216 at 5 ms, none of 64 at 20 ms."""

STIFFNESS_SCALE = 0.25
"""With the published stiffness and damping, steps of 10 ms lose the cube in every other handover.
A joint follows its set point with a lag of damping / stiffness = 0.1 s at any scale."""

_SCENE_BIT = 1
_CONTACT_FRICTION = (1.0, 0.02, 0.0001)
_GEOM = mujoco.mjtGeom


def build_model(
    arms: Sequence[str] = ARMS,
    *,
    cube: bool = True,
    timestep: float = DEFAULT_TIMESTEP,
    box: Box = CUBE,
) -> mujoco.MjModel:
    """Compile :func:`build_spec`; see there for the arguments."""
    return build_spec(arms, cube=cube, timestep=timestep, box=box).compile()


def build_spec(
    arms: Sequence[str] = ARMS,
    *,
    cube: bool = True,
    timestep: float = DEFAULT_TIMESTEP,
    box: Box = CUBE,
) -> mujoco.MjSpec:
    """Describe the scene.

    The state's order is that of ``arms`` (7 joints and 2 fingers each), then the cube. For the
    addresses use :class:`codi_franka.physics.model_index.ModelIndex`.

    Args:
        arms: names from :data:`codi_franka.robot.cell.ARM_BASES`, in the order of the state.
        cube: whether to add the cube, with a free joint.
        timestep: of the physics [s]; up to 0.01 keeps a grasp.
        box: what stands for the cube.

    Raises:
        ValueError: if an arm's name is unknown or given twice.
    """
    _check_arms(arms)
    spec = mujoco.MjSpec()
    spec.modelname = "codi_franka"
    spec.compiler.degree = False
    _set_options(spec.option, timestep)
    _add_table(spec.worldbody)
    for number, name in enumerate(arms):
        _add_arm(spec, name, number, len(arms))
    if cube:
        _add_cube(spec.worldbody, box)
    return spec


def _check_arms(arms: Sequence[str]) -> None:
    unknown = [name for name in arms if name not in ARM_BASES]
    if unknown:
        raise ValueError(f"unknown arms {unknown}; choose among {list(ARM_BASES)}")
    if len(set(arms)) != len(arms):
        raise ValueError(f"an arm is named twice in {list(arms)}")


def _set_options(option: mujoco.MjOption, timestep: float) -> None:
    option.timestep = timestep
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0  # a grasp must not creep


def _add_table(world: mujoco.MjsBody) -> None:
    half_height = cell.TABLE_THICKNESS / 2
    scene = {"contype": _SCENE_BIT, "conaffinity": _SCENE_BIT, "friction": _CONTACT_FRICTION}
    world.add_geom(
        name="table",
        type=_GEOM.mjGEOM_BOX,
        size=(cell.TABLE_SIZE[0] / 2, cell.TABLE_SIZE[1] / 2, half_height),
        pos=(0.0, 0.0, -half_height),
        rgba=(0.8, 0.75, 0.65, 1.0),
        **scene,
    )
    world.add_geom(
        name="floor",
        type=_GEOM.mjGEOM_PLANE,
        size=(3.0, 3.0, 0.1),
        pos=(0.0, 0.0, cell.FLOOR_HEIGHT),
        rgba=(0.5, 0.5, 0.5, 1.0),
        **scene,
    )
    world.add_light(name="lamp", pos=(0.0, 0.0, 2.5), dir=(0.0, 0.0, -1.0))


def _add_cube(world: mujoco.MjsBody, box: Box) -> None:
    body = world.add_body(name="cube", pos=(0.0, 0.0, box.standing))
    body.add_freejoint(name="cube")
    body.add_geom(
        name="cube",
        type=_GEOM.mjGEOM_BOX,
        size=[edge / 2 for edge in box.size],
        mass=box.mass,
        contype=_SCENE_BIT,
        conaffinity=_SCENE_BIT,
        condim=4,
        friction=_CONTACT_FRICTION,
        rgba=(0.2, 0.6, 0.3, 1.0),
    )


def _contact_bits(number: int, count: int) -> dict[str, int]:
    """An arm meets the scene and all other arms but not itself.

    Two geoms meet if one's contype shares a bit with the other's conaffinity: arm k's contype is
    its own bit, its conaffinity is the scene's bit and the other arms' bits.
    """
    others = sum(2 << k for k in range(count) if k != number)
    return {"contype": 2 << number, "conaffinity": _SCENE_BIT | others}


def _add_arm(spec: mujoco.MjSpec, name: str, number: int, count: int) -> None:
    bits = _contact_bits(number, count)
    base = ARM_BASES[name]
    body = spec.worldbody.add_body(
        name=f"{name}/link0", pos=base.position, quat=base.quaternion, gravcomp=1.0
    )
    _add_shapes(body, f"{name}/link0", fr3.LINK_SHAPES[0], bits)
    for joint, link in enumerate(fr3.LINKS, start=1):
        body = _add_link(body, name, joint, link)
        _add_shapes(body, f"{name}/link{joint}", fr3.LINK_SHAPES[joint], bits)
        _add_joint_actuator(spec, f"{name}/joint{joint}", link)
    hand = _add_hand(body, name)
    _add_shapes(hand, f"{name}/hand", fr3.HAND_SHAPES, bits)
    _add_finger(hand, f"{name}/left_finger", f"{name}/finger_joint1", 0.0, bits)
    _add_finger(hand, f"{name}/right_finger", f"{name}/finger_joint2", math.pi, bits)
    _add_gripper(spec, name)


def _add_link(parent: mujoco.MjsBody, arm: str, joint: int, link: fr3.Link) -> mujoco.MjsBody:
    sin, cos = round(math.sin(link.alpha), 12), round(math.cos(link.alpha), 12)
    body = parent.add_body(
        name=f"{arm}/link{joint}",
        pos=(link.a, -link.d * sin, link.d * cos),
        quat=(math.cos(link.alpha / 2), math.sin(link.alpha / 2), 0.0, 0.0),
        gravcomp=1.0,
        **_inertia(link.inertia),
    )
    body.add_joint(
        name=f"{arm}/joint{joint}",
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=(0.0, 0.0, 1.0),
        range=link.position_range,
        actfrcrange=(-link.torque_limit, link.torque_limit),
        damping=fr3.JOINT_DAMPING,
        armature=link.armature,  # no friction loss: it makes the set point stick
    )
    return body


def _inertia(inertia: fr3.Inertia) -> dict[str, object]:
    return {
        "explicitinertial": True,
        "mass": inertia.mass,
        "ipos": inertia.center,
        "inertia": inertia.diagonal,
        "iquat": inertia.quaternion,
    }


def _add_hand(flange: mujoco.MjsBody, arm: str) -> mujoco.MjsBody:
    hand = flange.add_body(
        name=f"{arm}/hand",
        pos=(0.0, 0.0, fr3.FLANGE_OFFSET),
        quat=_about_z(fr3.TOOL_ANGLE),
        gravcomp=1.0,
        **_inertia(fr3.HAND_INERTIA),
    )
    hand.add_site(name=f"{arm}/tcp", pos=(0.0, 0.0, fr3.TOOL_OFFSET), size=(0.005, 0.005, 0.005))
    return hand


def _add_finger(
    hand: mujoco.MjsBody, name: str, joint: str, angle: float, bits: dict[str, int]
) -> None:
    body = hand.add_body(
        name=name,
        pos=(0.0, 0.0, fr3.FINGER_OFFSET),
        quat=_about_z(angle),
        gravcomp=1.0,
        **_inertia(fr3.FINGER_INERTIA),
    )
    body.add_joint(
        name=joint,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=(0.0, 1.0, 0.0),
        range=(0.0, fr3.FINGER_TRAVEL),
        damping=fr3.FINGER_DAMPING,
        armature=fr3.FINGER_ARMATURE,
    )
    body.add_geom(
        name=f"{name}/pad",
        type=_GEOM.mjGEOM_BOX,
        pos=fr3.PAD.center,
        size=fr3.PAD.half_size,
        condim=4,  # torsional friction: with condim 3 the cube turns between the pads
        friction=_CONTACT_FRICTION,
        rgba=(0.2, 0.2, 0.2, 1.0),
        **bits,
    )


def _about_z(angle: float) -> tuple[float, float, float, float]:
    return (math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2))


def _add_shapes(
    body: mujoco.MjsBody, name: str, shapes: Sequence[fr3.Shape], bits: dict[str, int]
) -> None:
    for number, shape in enumerate(shapes):
        body.add_geom(
            name=f"{name}/shape{number}",
            friction=_CONTACT_FRICTION,
            rgba=(0.9, 0.9, 0.9, 1.0),
            **_shape(shape),
            **bits,
        )


def _shape(shape: fr3.Shape) -> dict[str, object]:
    if isinstance(shape, fr3.Box):
        return {"type": _GEOM.mjGEOM_BOX, "pos": shape.center, "size": shape.half_size}
    return {
        "type": _GEOM.mjGEOM_CAPSULE,
        "fromto": (*shape.start, *shape.end),
        "size": (shape.radius, 0.0, 0.0),
    }


def _add_joint_actuator(spec: mujoco.MjSpec, joint: str, link: fr3.Link) -> None:
    actuator = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    actuator.set_to_intvelocity(
        kp=STIFFNESS_SCALE * link.stiffness, kv=STIFFNESS_SCALE * link.damping
    )
    actuator.ctrllimited = True
    actuator.ctrlrange = (-link.velocity_limit, link.velocity_limit)
    actuator.actlimited = True
    actuator.actrange = link.position_range


def _add_gripper(spec: mujoco.MjSpec, arm: str) -> None:
    """Couple the fingers, and drive the sum of their travels, which is the width."""
    joints = (f"{arm}/finger_joint1", f"{arm}/finger_joint2")
    tendon = spec.add_tendon(name=f"{arm}/width")
    for joint in joints:
        tendon.wrap_joint(joint, 1.0)
    spec.add_equality(
        name=f"{arm}/fingers",
        type=mujoco.mjtEq.mjEQ_JOINT,
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        name1=joints[0],
        name2=joints[1],
        data=np.array([0.0, 1.0, *[0.0] * 10]),
        solimp=(0.95, 0.99, 0.001, 0.5, 2.0),
        solref=(0.02, 1.0),
    )
    actuator = spec.add_actuator(
        name=f"{arm}/gripper", target=f"{arm}/width", trntype=mujoco.mjtTrn.mjTRN_TENDON
    )
    actuator.set_to_position(kp=fr3.GRIPPER_STIFFNESS, kv=fr3.GRIPPER_DAMPING)
    actuator.ctrllimited = True
    actuator.ctrlrange = (0.0, fr3.MAX_WIDTH)
    actuator.forcelimited = True
    actuator.forcerange = (-fr3.GRIPPER_FORCE_LIMIT, fr3.GRIPPER_FORCE_LIMIT)
