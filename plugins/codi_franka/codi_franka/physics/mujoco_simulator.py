"""MuJoCo 4 behind the simulator interface: n copies, stepped on a thread pool."""

from __future__ import annotations

import attrs
import mujoco
import numpy as np
import torch
from mujoco.batch import Batch, SimulationError
from numpy.typing import NDArray
from torch import Tensor

from codi_core.tasks import Simulator
from codi_franka.robot.model import build_spec
from codi_franka.robot.model_index import ArmIndex, ModelIndex
from codi_franka.state import FrankaState, tensors

Array = NDArray[np.float64]

_DIVERGED = [
    int(warning)
    for warning in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
    )
]
"""Warnings with which MuJoCo puts a simulation back to the model's own start."""

CONTROL_PERIOD = 0.1
"""[s] Between two actions."""


class MujocoSimulator(Simulator):
    """Full physics of the arms with contacts.

    A model may have gravity disabled, which saves it the compensation of the arms' weights. Then
    the cube's weight is a force that is applied to it.

    Args:
        arms: names of the arms, in the order of the state.
        copies: n, how many simulations there are.
        threads: how many run at once; 0 for all processors.
        model: another compiled model with the same bodies, for example one with sensors.
    """

    device = "cpu"

    def __init__(
        self,
        arms: tuple[str, ...],
        copies: int,
        threads: int = 0,
        model: mujoco.MjModel | None = None,
    ) -> None:
        self.arms = arms
        self.model = model if model is not None else build_spec(arms).compile()
        self.index = ModelIndex.of(self.model)
        self.substeps = round(CONTROL_PERIOD / self.model.opt.timestep)
        self.batch = Batch(self.model, nsim=copies, nthread=threads)
        self._bind()
        self._weight = self._applied_weight()
        self.valid = np.ones(copies, dtype=bool)
        """(n,) False from the moment that a copy diverged, until its state is set again."""

    @property
    def copies(self) -> int:
        """n, the number of simulations."""
        return self.batch.nsim

    def set_state(self, state: FrankaState, rows: NDArray[np.intp] | None = None) -> None:
        """Put copy ``rows[j]`` (all copies without ``rows``) into row j of the state."""
        chosen = slice(None) if rows is None else rows
        for position, arm in enumerate(self.index.arms):
            joints = _array(state.joint_position[:, position])
            self._write(self._qpos, chosen, arm.joint_qpos, joints)
            velocity = _array(state.joint_velocity[:, position])
            self._write(self._qvel, chosen, arm.joint_qvel, velocity)
            # A set point leads its moving joint by as much as the spring's damping holds it back.
            self._write(self._act, chosen, arm.joint_act, joints + self._lead(arm) * velocity)
            width = _array(state.gripper_width[:, position])
            self._write(self._qpos, chosen, arm.finger_qpos, np.repeat(width[:, None] / 2, 2, 1))
            self._write(self._qvel, chosen, arm.finger_qvel, np.zeros((len(width), 2)))
        self._place(state, chosen)
        self.batch.warning[chosen] = 0
        self.valid[chosen] = True

    def place_cube(self, state: FrankaState, rows: NDArray[np.intp]) -> None:
        """Move the cube of copies ``rows`` to where it is in those rows of ``state``."""
        self._place(
            attrs.evolve(state, **{name: value[rows] for name, value in tensors(state)}), rows
        )

    def step(self, targets: Tensor, count: int) -> FrankaState:
        """Hold the actuator targets (n, N·8) for ``count`` physics steps; return the state."""
        self.hold(targets, count)
        return self.state()

    def hold(self, targets: Tensor, count: int) -> None:
        """As :meth:`step`, for callers that read only part of the state."""
        self._ctrl[:] = targets.numpy()
        try:
            self.batch.step(nstep=count)
        except SimulationError as error:
            self.valid[error.ids] = False

    def configuration(self) -> Configuration:
        """The present joint angles, widths and cube positions, single precision, (n, nq)."""
        return Configuration(self._qpos.astype(np.float32), self.index)

    def step_and_measure(self, targets: Tensor) -> tuple[FrankaState, Array]:
        """As :meth:`step` for one control period, with the sensors after each physics step.

        Returns:
            The state, and the sensor data (n, substeps, S).
        """
        self._ctrl[:] = targets.numpy()
        try:
            record = self.batch.rollout(self.substeps, record=("sensordata",))["sensordata"]
        except SimulationError as error:
            self.valid[error.ids] = False
            record = np.zeros((self.copies, self.substeps, self.model.nsensordata))
        return self.state(), record

    def state(self) -> FrankaState:
        """The present state of all copies; that of diverged ones is finite but means nothing."""
        sound = np.isfinite(self._qpos).all(1) & (np.abs(self._qvel).max(1) < 1e3)
        # MuJoCo resets what diverges (going on with NaN is 200 times slower): its warnings tell.
        self.valid &= sound & ~self.batch.warning[:, _DIVERGED, 1].any(1)
        qpos, qvel = _bounded(self._qpos), _bounded(self._qvel)
        arms = self.index.arms
        cube = self.index.cube_qpos
        quaternion = torch.as_tensor(qpos[:, cube[3:]], dtype=torch.float32)
        rotation = _rotate(qpos[:, cube[3:]], qvel[:, self.index.cube_qvel[3:]])
        velocity = np.concatenate((qvel[:, self.index.cube_qvel[:3]], rotation), 1)
        return FrankaState(
            joint_position=_tensor(np.stack([qpos[:, arm.joint_qpos] for arm in arms], 1)),
            joint_velocity=_tensor(np.stack([qvel[:, arm.joint_qvel] for arm in arms], 1)),
            gripper_width=_tensor(np.stack([qpos[:, arm.finger_qpos].sum(1) for arm in arms], 1)),
            cube_position=_tensor(qpos[:, cube[:3]]),
            cube_quaternion=quaternion,
            cube_velocity=_tensor(velocity),
        )

    def _bind(self) -> None:
        self._qpos: Array = self.batch.bind("qpos")
        self._qvel: Array = self.batch.bind("qvel")
        self._act: Array = self.batch.bind("act")
        self._ctrl: Array = self.batch.bind("ctrl")
        self._warmstart: Array = self.batch.bind("qacc_warmstart")
        self._force: Array = self.batch.bind("qfrc_applied")

    def _applied_weight(self) -> float:
        """The force [N] along z that a cube needs in a model without gravity; else 0."""
        disabled = self.model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_GRAVITY
        body = self.index.cube_body
        return float(self.model.body_mass[body] * self.model.opt.gravity[2]) if disabled else 0.0

    def _place(self, state: FrankaState, chosen: slice | NDArray[np.intp]) -> None:
        self._write(self._qpos, chosen, self.index.cube_qpos[:3], _array(state.cube_position))
        self._write(self._qpos, chosen, self.index.cube_qpos[3:], _array(state.cube_quaternion))
        self._write(self._qvel, chosen, self.index.cube_qvel, self._cube_twist(state))
        self._warmstart[chosen] = 0.0
        self._force[chosen, self.index.cube_qvel[2]] = self._weight  # a reset takes it away

    def _lead(self, arm: ArmIndex) -> Array:
        """Seconds by which an arm's set points lead its joints in steady motion, (7,)."""
        bias = self.model.actuator_biasprm[arm.joint_ctrl]
        lead: Array = bias[:, 2] / bias[:, 1]  # damping over stiffness
        return lead

    @staticmethod
    def _write(field: Array, rows: slice | NDArray[np.intp], columns: Array, value: Array) -> None:
        if isinstance(rows, slice):
            field[:, columns] = value
        else:
            field[np.ix_(rows, columns)] = value

    @staticmethod
    def _cube_twist(state: FrankaState) -> Array:
        """MuJoCo wants a free body's angular velocity in the body's own frame."""
        velocity = _array(state.cube_velocity)
        inverse = _array(state.cube_quaternion) * np.array([1.0, -1.0, -1.0, -1.0])
        return np.concatenate((velocity[:, :3], _rotate(inverse, velocity[:, 3:])), 1)


def _rotate(quaternion: Array, vector: Array) -> Array:
    real, imaginary = quaternion[:, :1], quaternion[:, 1:]
    twice = 2.0 * np.cross(imaginary, vector)
    rotated: Array = vector + real * twice + np.cross(imaginary, twice)
    return rotated


@attrs.frozen(eq=False)
class Configuration:
    """Positions without velocities, cheap to copy at each step and to decode later.

    Attributes:
        qpos: (..., nq), as MuJoCo orders them.
        index: where they are.
    """

    qpos: NDArray[np.float32]
    index: ModelIndex

    def joint_position(self) -> Tensor:
        """(..., N, 7) [rad]."""
        return torch.from_numpy(self.qpos[..., self.index.joint_qpos])

    def gripper_width(self) -> Tensor:
        """(..., N) [m]."""
        return torch.from_numpy(self.qpos[..., self.index.finger_qpos].sum(-1))

    def cube_position(self) -> Tensor:
        """(..., 3) [m], world frame."""
        return torch.from_numpy(self.qpos[..., self.index.cube_qpos[:3]])


def _bounded(values: Array) -> Array:
    """Finite values that survive single precision."""
    return np.clip(np.nan_to_num(values), -1e6, 1e6)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float64)


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
