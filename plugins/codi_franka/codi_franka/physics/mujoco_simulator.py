"""MuJoCo 4 behind the simulator interface: n copies, stepped on a thread pool."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch, SimulationError
from numpy.typing import NDArray
from torch import Tensor

from codi_franka.physics.model import build_spec
from codi_franka.physics.model_index import ModelIndex, set_point_leads
from codi_franka.physics.sensors import SensorReadings
from codi_franka.physics.simulator import (
    CONTROL_PERIOD,
    CubeProperties,
    HandoffSimulator,
    Simulated,
)
from codi_franka.robot.cell import CUBE_MASS
from codi_franka.state import FrankaState

Array = NDArray[np.float64]
Rows = slice | NDArray[np.intp]

_EVERYWHERE = slice(None)
_DIVERGED = [
    int(warning)
    for warning in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
    )
]
"""Warnings with which MuJoCo puts a simulation back to the model's own start."""

_PROPERTIES = ("body_mass", "body_inertia", "geom_friction")
"""The model's fields that differ between copies once their cubes do."""


class MujocoSimulator(HandoffSimulator):
    """Full physics of the arms with contacts.

    A model may have gravity disabled, which saves it the compensation of the arms' weights. Then
    the cube's weight is a force that is applied to it.

    It is measured what the model has sensors for, see
    :func:`codi_franka.physics.sensors.instrumented_model`. A copy, also one in
    another process, goes on from the same state.

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
        self.sensors = SensorReadings(self.model) if self.model.nsensor else None
        self._bind()
        self._weight = self._applied_weight()
        self.valid = np.ones(copies, dtype=bool)
        """(n,) False from the moment that a copy diverged, until its state is set again."""

    @property
    def copies(self) -> int:  # type: ignore[override]
        """n, the number of simulations."""
        return self.batch.nsim

    def set_state(
        self, state: FrankaState, rows: Tensor | None = None, cube: CubeProperties | None = None
    ) -> None:
        """Put some copies into states, and leave the others alone (see the base class)."""
        chosen = _chosen(rows)
        for position, arm in enumerate(self.index.arms):
            joints = _array(state.joint_position[:, position])
            self._write(self._qpos, chosen, arm.joint_qpos, joints)
            velocity = _array(state.joint_velocity[:, position])
            self._write(self._qvel, chosen, arm.joint_qvel, velocity)
            # A set point leads its moving joint by as much as the spring's damping holds it back.
            lead = set_point_leads(self.model, arm.joint_ctrl)
            self._write(self._act, chosen, arm.joint_act, joints + lead * velocity)
            width = _array(state.gripper_width[:, position])
            self._write(self._qpos, chosen, arm.finger_qpos, np.repeat(width[:, None] / 2, 2, 1))
            self._write(self._qvel, chosen, arm.finger_qvel, np.zeros((len(width), 2)))
        self._place(state, chosen)
        self.batch.warning[chosen] = 0
        self.valid[chosen] = True
        if cube is not None:
            self._vary(cube, chosen)

    def place_cube(self, state: FrankaState, rows: Tensor) -> None:
        """Move the cubes of copies ``rows``, (n',), to where they are in those rows of a state."""
        self._place(state.of_worlds(rows), _chosen(rows))

    def step(self, targets: Tensor, count: int, rows: Tensor | None = None) -> Simulated:
        """Hold actuator targets for ``count`` physics steps (see the base class)."""
        chosen = _chosen(rows)
        self._ctrl[chosen] = _array(targets)
        measured = self._advance(count, None if isinstance(chosen, slice) else chosen)
        state, valid = self.state(), torch.from_numpy(self.valid.copy())
        if rows is not None:
            state, valid = state.of_worlds(rows), valid[rows]
        if self.sensors is None:
            return Simulated(state, valid)
        return Simulated(
            state,
            valid,
            arm_contact=torch.from_numpy(self.sensors.arm_contact(measured).any(-1)),
            cube_contact=torch.from_numpy(self.sensors.cube_contact(measured)[:, -1].copy()),
            cube_force=_tensor(self.sensors.cube_force(measured)[:, -1]),
            hand_distance=torch.from_numpy(self.sensors.hand_distance(measured).min(-1)),
        )

    def hold(self, targets: Tensor, count: int) -> None:
        """As :meth:`step` for all copies, for callers that read only part of the state."""
        self._ctrl[:] = targets.numpy()
        try:
            self.batch.step(nstep=count)
        except SimulationError as error:
            self.valid[error.ids] = False

    def positions(self) -> NDArray[np.float32]:
        """``qpos`` now, (n, nq): a copy in single precision."""
        return self._qpos.astype(np.float32)

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

    def _advance(self, count: int, ids: NDArray[np.intp] | None) -> Array:
        """Step some copies; returns their sensors' data after each step, (n', steps, S)."""
        try:
            if count == 0:
                now = self.batch.bind("sensordata")
                self.batch.forward(ids)
                return now[_EVERYWHERE if ids is None else ids][:, None]
            if self.sensors is not None:
                recorded = self.batch.rollout(count, record=("sensordata",), ids=ids)
                return recorded["sensordata"]
            self.batch.step(ids, nstep=count)
        except SimulationError as error:
            self.valid[error.ids] = False
        copies = self.copies if ids is None else len(ids)
        return np.zeros((copies, max(count, 1), self.model.nsensordata))

    def _vary(self, cube: CubeProperties, chosen: Rows) -> None:
        """Give copies cubes of their own."""
        model, index = self.model, self.index
        mass, friction = _array(cube.mass), _array(cube.friction)
        masses, inertias, frictions = (self.batch.expand(name) for name in _PROPERTIES)
        masses[chosen, index.cube_body] = mass
        nominal = model.body_inertia[index.cube_body]
        inertias[chosen, index.cube_body] = nominal * (mass / CUBE_MASS)[:, None]
        # A contact takes the larger of two frictions: pads and table must change with the cube.
        pads = (pad for arm in index.arms for pad in arm.pads)
        for geom in (index.cube_geom, index.table_geom, *pads):
            frictions[chosen, geom] = model.geom_friction[geom] * friction[:, None]
        self.batch.set_const(None if isinstance(chosen, slice) else chosen)

    def __getstate__(self) -> dict[str, Any]:
        varied = {name: self.batch.expanded(name) for name in _PROPERTIES}
        return {
            "made": (self.arms, self.copies, self.batch.nthread, self.model),
            "fields": [field.copy() for field in self._fields()],
            "properties": {
                name: value.copy() for name, value in varied.items() if value is not None
            },
            "valid": self.valid,
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__init__(*kept["made"])  # type: ignore[misc]
        for field, value in zip(self._fields(), kept["fields"], strict=True):
            field[:] = value
        for name, value in kept["properties"].items():
            self.batch.expand(name)[:] = value
        if kept["properties"]:
            self.batch.set_const()
        self.valid = kept["valid"]

    def _fields(self) -> tuple[Array, ...]:
        """All that the next step depends on."""
        return (
            self._qpos, self._qvel, self._act, self._ctrl, self._warmstart, self._force,
            self.batch.warning,
        )  # fmt: skip

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

    def _place(self, state: FrankaState, chosen: Rows) -> None:
        self._write(self._qpos, chosen, self.index.cube_qpos[:3], _array(state.cube_position))
        self._write(self._qpos, chosen, self.index.cube_qpos[3:], _array(state.cube_quaternion))
        self._write(self._qvel, chosen, self.index.cube_qvel, self._cube_twist(state))
        self._warmstart[chosen] = 0.0
        self._force[chosen, self.index.cube_qvel[2]] = self._weight  # a reset takes it away

    @staticmethod
    def _write(field: Array, rows: Rows, columns: NDArray[np.intp], value: Array) -> None:
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


def _chosen(rows: Tensor | None) -> Rows:
    return _EVERYWHERE if rows is None else rows.cpu().numpy()


def _rotate(quaternion: Array, vector: Array) -> Array:
    real, imaginary = quaternion[:, :1], quaternion[:, 1:]
    twice = 2.0 * np.cross(imaginary, vector)
    rotated: Array = vector + real * twice + np.cross(imaginary, twice)
    return rotated


def _bounded(values: Array) -> Array:
    """Finite values that survive single precision."""
    return np.clip(np.nan_to_num(values), -1e6, 1e6)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float64)


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
