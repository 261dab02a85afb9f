"""Addresses of arms, cube and geoms in a compiled model, so that nobody hard-codes them."""

import attrs
import mujoco
import numpy as np
from numpy.typing import NDArray

from codi_franka.robot.cell import ARM_BASES
from codi_franka.robot.parameters import LINKS

Indices = NDArray[np.intp]


@attrs.frozen(eq=False)
class ArmIndex:
    """Addresses of one arm."""

    name: str
    joint_qpos: Indices
    """(7,) in ``qpos``."""
    joint_qvel: Indices
    """(7,) in ``qvel``."""
    joint_act: Indices
    """(7,) in ``act``: the set points [rad] that integrate the velocity commands."""
    joint_ctrl: Indices
    """(7,) in ``ctrl``: the velocity commands [rad/s]."""
    finger_qpos: Indices
    """(2,) in ``qpos`` [m]; their sum is the width."""
    finger_qvel: Indices
    """(2,) in ``qvel``."""
    gripper_ctrl: int
    """In ``ctrl``: the width [m]."""
    tcp_site: int
    bodies: Indices
    """Link 0 to 7, hand and fingers: (11,) body ids."""
    geoms: Indices
    """All collision geoms of the arm, pads included."""
    pads: Indices
    """(2,) geom ids."""


@attrs.frozen(eq=False)
class ModelIndex:
    """Addresses in a model from :func:`codi_franka.physics.model.build_model`."""

    arms: tuple[ArmIndex, ...]
    joint_qpos: Indices
    """(N, 7) in ``qpos``, of all arms at once."""
    finger_qpos: Indices
    """(N, 2) in ``qpos`` [m], likewise."""
    cube_qpos: Indices
    """(7,) in ``qpos``: position [m] and quaternion (wxyz); empty without a cube."""
    cube_qvel: Indices
    """(6,) in ``qvel``: linear velocity in the world frame, angular in the cube's own frame."""
    cube_body: int
    """-1 without a cube."""
    cube_geom: int
    """-1 without a cube."""
    table_geom: int
    floor_geom: int

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "ModelIndex":
        """Look the addresses up by name."""
        arms = tuple(_arm_index(model, name) for name in arm_names(model))
        body = _id(model, mujoco.mjtObj.mjOBJ_BODY, "cube")
        joint = _id(model, mujoco.mjtObj.mjOBJ_JOINT, "cube")
        has_cube = joint >= 0
        return cls(
            arms=arms,
            joint_qpos=np.stack([arm.joint_qpos for arm in arms]),
            finger_qpos=np.stack([arm.finger_qpos for arm in arms]),
            cube_qpos=np.arange(7) + model.jnt_qposadr[joint] if has_cube else _empty(),
            cube_qvel=np.arange(6) + model.jnt_dofadr[joint] if has_cube else _empty(),
            cube_body=body,
            cube_geom=_id(model, mujoco.mjtObj.mjOBJ_GEOM, "cube"),
            table_geom=_id(model, mujoco.mjtObj.mjOBJ_GEOM, "table"),
            floor_geom=_id(model, mujoco.mjtObj.mjOBJ_GEOM, "floor"),
        )

    def arm(self, name: str) -> ArmIndex:
        """The arm of that name.

        Raises:
            KeyError: with the valid names.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(f"no arm {name!r}; this model has {[arm.name for arm in self.arms]}")


def arm_names(model: mujoco.MjModel) -> tuple[str, ...]:
    """Names of the arms, in the order of the state."""
    present = {name: _id(model, mujoco.mjtObj.mjOBJ_JOINT, f"{name}/joint1") for name in ARM_BASES}
    found = [(joint, name) for name, joint in present.items() if joint >= 0]
    return tuple(name for _, name in sorted(found))


def set_point_leads(model: mujoco.MjModel, ctrl: Indices) -> NDArray[np.float64]:
    """Seconds by which set points lead their joints in steady motion, (n,).

    A joint lags by its damping over its stiffness; a set point that is integrated before it pulls
    is a step ahead of the one that is stored.

    Args:
        model: from :func:`codi_franka.physics.model.build_model`.
        ctrl: (n,), the actuators of joints.
    """
    bias = model.actuator_biasprm[ctrl]
    ahead = model.opt.timestep * model.actuator_actearly[ctrl]
    leads: NDArray[np.float64] = bias[:, 2] / bias[:, 1] - ahead
    return leads


def initial_state(
    model: mujoco.MjModel, joint_position: NDArray[np.float64], width: float = 0.08
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """``qpos``, ``act`` and ``ctrl`` of arms at rest, the cube where the model puts it.

    The set points must start at the joint positions, or the springs pull the arms away.

    Args:
        model: from :func:`codi_franka.physics.model.build_model`.
        joint_position: (7,) or (N, 7) [rad], for all or for each of the N arms.
        width: of every gripper [m].
    """
    qpos, act, ctrl = model.qpos0.copy(), np.zeros(model.na), np.zeros(model.nu)
    arms = ModelIndex.of(model).arms
    postures = np.broadcast_to(joint_position, (len(arms), len(LINKS)))
    for arm, posture in zip(arms, postures, strict=True):
        qpos[arm.joint_qpos] = posture
        qpos[arm.finger_qpos] = width / 2
        act[arm.joint_act] = posture
        ctrl[arm.gripper_ctrl] = width
    return qpos, act, ctrl


def _arm_index(model: mujoco.MjModel, name: str) -> ArmIndex:
    joints = [model.joint(f"{name}/joint{i}").id for i in range(1, len(LINKS) + 1)]
    fingers = [model.joint(f"{name}/finger_joint{i}").id for i in (1, 2)]
    ctrl = [model.actuator(f"{name}/joint{i}").id for i in range(1, len(LINKS) + 1)]
    bodies = [i for i in range(model.nbody) if model.body(i).name.startswith(f"{name}/")]
    pads = [f"{name}/{side}_finger/pad" for side in ("left", "right")]
    return ArmIndex(
        name=name,
        joint_qpos=model.jnt_qposadr[joints].astype(np.intp),
        joint_qvel=model.jnt_dofadr[joints].astype(np.intp),
        joint_act=model.actuator_actadr[ctrl].astype(np.intp),
        joint_ctrl=np.array(ctrl, dtype=np.intp),
        finger_qpos=model.jnt_qposadr[fingers].astype(np.intp),
        finger_qvel=model.jnt_dofadr[fingers].astype(np.intp),
        gripper_ctrl=int(model.actuator(f"{name}/gripper").id),
        tcp_site=int(model.site(f"{name}/tcp").id),
        bodies=np.array(bodies, dtype=np.intp),
        geoms=np.flatnonzero(np.isin(model.geom_bodyid, bodies)),
        pads=np.array([model.geom(pad).id for pad in pads], dtype=np.intp),
    )


def _id(model: mujoco.MjModel, kind: mujoco.mjtObj, name: str) -> int:
    return int(mujoco.mj_name2id(model, kind, name))


def _empty() -> Indices:
    return np.empty(0, dtype=np.intp)
