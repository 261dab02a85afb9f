"""n copies in MuJoCo Warp whose arrays are torch's, too: what its simulator and rollouts share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import mujoco
import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp
from torch import Tensor

from codi_franka.geometry import quaternion_conjugate, quaternion_rotate
from codi_franka.physics.model_index import ModelIndex, initial_state, set_point_leads
from codi_franka.physics.simulator import CubeProperties
from codi_franka.physics.warp_kernels import note_contacts, settle
from codi_franka.robot.cell import CUBE_MASS
from codi_franka.robot.controller import HOME
from codi_franka.state import FrankaState

FASTEST = 1e3
"""[rad/s, m/s] A copy with a faster joint or cube has diverged."""

FEW_ITERATIONS = 4
"""Of the solver, that are cheaper made than asked for: a graph's condition costs as much as one."""

_SPOILT = mjw.OverflowType.ALL & ~mjw.OverflowType.ITERATIONS & ~mjw.OverflowType.LS_ITERATIONS
"""Overflows of which contacts or constraints are lost; solvers that stop early lose none."""

_OF_CUBES = (
    "body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0",
    "geom_friction",
)  # fmt: skip
"""The model's fields that differ between copies once their cubes do."""


@attrs.frozen
class Room:
    """How much room a copy has in the buffers. What doesn't fit makes a copy invalid.

    Rooms that are too large take time on a GPU, so they are measured: see ``docs/gpu.md``.

    Attributes:
        contacts: with other geometries; all copies share the room of all.
        rows: of constraints, each copy for itself.
    """

    contacts: int
    rows: int


@attrs.frozen(eq=False)
class Watched:
    """What is noted of the contact sensors in all physics steps of a call.

    Attributes:
        contact: the columns in ``sensordata`` that are above 0 while arms touch.
        distance: the columns with distances between hands [m].
        touched: (n,), whether arms have touched.
        nearest: (n,) [m], the smallest of all distances.
    """

    contact: Any
    distance: Any
    touched: Tensor
    nearest: Tensor


class WarpCopies:
    """Sets, steps and reads n copies without leaving their device.

    Physics steps are recorded as a graph, once for each number of them, and replayed: on a GPU a
    CUDA graph, on the CPU Warp's own list of kernels. Both save the launches, one by one in
    Python, which take longer than the work.

    Args:
        model: with the bodies and joints of :func:`codi_franka.physics.model.build_spec`.
        copies: n.
        device: torch's name of it.
        room: in the buffers.
        varied: whether copies may have cubes of their own.
    """

    def __init__(
        self, model: mujoco.MjModel, copies: int, device: str, room: Room, varied: bool = False
    ) -> None:
        _prepare()
        device = _numbered(device)
        self.model, self.copies, self.device = model, copies, device
        self.index = ModelIndex.of(model)
        self._warp = wp.device_from_torch(torch.device(device))
        with wp.ScopedDevice(self._warp):
            sizes = dict.fromkeys(_OF_CUBES, copies) if varied else {}
            self._m = mjw.put_model(model, batch_sizes=sizes)
            self._m.opt.warn_overflow = 0  # copies are marked instead
            self._m.opt.graph_conditional = model.opt.iterations > FEW_ITERATIONS
            self._d = mjw.make_data(model, nworld=copies, nconmax=room.contacts, njmax=room.rows)
        wp.synchronize_device(self._warp)  # torch works on another stream
        data = self._d
        self.qpos, self.qvel, self.act, self.ctrl, self.sensordata, warmstart, force, over = (
            wp.to_torch(value)
            for value in (
                data.qpos, data.qvel, data.act, data.ctrl, data.sensordata,
                data.qacc_warmstart, data.qfrc_applied, data.overflow,
            )
        )  # fmt: skip
        self._warmstart, self._force, self._overflow = warmstart, force, over
        self.valid = torch.ones(copies, dtype=torch.bool, device=device)
        self.watched: Watched | None = None
        self._graphs: dict[int, Any] = {}
        self._at = _Columns.of(model, self.index, device)
        rest = _at_rest(model, device)
        self._rest = [wp.from_torch(value) for value in rest]
        self._nominal = {name: value.clone() for name, value in self._cubes().items()}
        for value, still in zip((self.qpos, self.act, self.ctrl), rest, strict=True):
            value[:] = still

    def place(self, state: FrankaState, rows: Tensor | None = None) -> None:
        """Put some copies into states, with set points that lead moving joints as springs lag."""
        at, joints = self._at, state.joint_position.flatten(1)
        velocity, width = state.joint_velocity.flatten(1), state.gripper_width
        fingers = (width / 2).repeat_interleave(2, 1)
        inverse = quaternion_conjugate(state.cube_quaternion)
        turning = quaternion_rotate(inverse, state.cube_velocity[:, 3:])  # in the body's own frame
        twist = torch.cat((state.cube_velocity[:, :3], turning), 1)
        chosen = slice(None) if rows is None else rows.to(self.device).unsqueeze(1)
        self.qpos[chosen, at.joint_qpos] = joints
        self.qvel[chosen, at.joint_qvel] = velocity
        self.act[chosen, at.joint_act] = joints + at.lead * velocity
        self.qpos[chosen, at.finger_qpos] = fingers
        self.qvel[chosen, at.finger_qvel] = torch.zeros_like(fingers)
        self.qpos[chosen, at.cube_qpos] = torch.cat((state.cube_position, state.cube_quaternion), 1)
        self.qvel[chosen, at.cube_qvel] = twist
        whole = slice(None) if rows is None else rows.to(self.device)
        self._warmstart[whole] = 0.0
        self._force[whole, at.weighed] = at.weight
        self.valid[whole] = True
        self._overflow[whole] = 0

    def vary(self, cube: CubeProperties, rows: Tensor | None = None) -> None:
        """Give copies cubes of their own, with all that derives from a free body's mass."""
        there = self._cubes()
        whole = slice(None) if rows is None else rows.to(self.device)
        share = (cube.mass.to(self.device, torch.float32) / CUBE_MASS).unsqueeze(1)
        friction = cube.friction.to(self.device, torch.float32).view(-1, 1, 1)
        body, dofs, geoms = self.index.cube_body, self._at.cube_qvel, self._at.rubbing
        for name in ("body_mass", "body_subtreemass", "body_inertia"):
            there[name][whole, body] = self._times(name, body, share)
        there["body_invweight0"][whole, body] = self._times("body_invweight0", body, 1 / share)
        rows_of = whole if isinstance(whole, slice) else whole.unsqueeze(1)
        nominal = self._nominal
        there["dof_invweight0"][rows_of, dofs] = nominal["dof_invweight0"][0, dofs] / share
        # A contact takes the larger of two frictions: pads and table must change with the cube.
        there["geom_friction"][rows_of, geoms] = nominal["geom_friction"][0, geoms] * friction

    def advance(self, count: int) -> None:
        """Take so many physics steps, or look with 0; then mark what diverged."""
        if self.watched is not None:
            self.watched.touched.zero_()
            self.watched.nearest.fill_(torch.inf)
        if _capturing(self.device):
            with on_torchs_stream(self.device):
                self._steps(count)
        else:
            if count not in self._graphs:
                self._graphs[count] = self._recorded(count)
            with on_torchs_stream(self.device):
                wp.capture_launch(self._graphs[count])

    def joints(self, qpos: Tensor) -> Tensor:
        """The arms' joints (..., N, 7) [rad] in positions (..., nq)."""
        return qpos[..., self._at.joint_qpos].unflatten(-1, (len(self.index.arms), -1))

    def widths(self, qpos: Tensor) -> Tensor:
        """The grippers' widths (..., N) [m] in positions (..., nq)."""
        return qpos[..., self._at.finger_qpos].unflatten(-1, (len(self.index.arms), 2)).sum(-1)

    def cubes(self, qpos: Tensor) -> Tensor:
        """The cubes' positions and quaternions (..., 7) in positions (..., nq)."""
        return qpos[..., self._at.cube_qpos]

    def read(self) -> FrankaState:
        """The present states, in memory of their own; those of invalid copies mean nothing."""
        at, cube = self._at, self.cubes(self.qpos)
        twist = self.qvel[:, at.cube_qvel]
        turning = quaternion_rotate(cube[:, 3:], twist[:, 3:])
        return FrankaState(
            joint_position=self.joints(self.qpos),
            joint_velocity=self.qvel[:, at.joint_qvel].unflatten(1, (len(self.index.arms), -1)),
            gripper_width=self.widths(self.qpos),
            cube_position=cube[:, :3].clone(),
            cube_quaternion=cube[:, 3:].clone(),
            cube_velocity=torch.cat((twist[:, :3], turning), 1),
        )

    @contextmanager
    def only(self, rows: Tensor | None) -> Iterator[None]:
        """In it, copies other than ``rows`` come to nothing: they are put back at the end."""
        if rows is None:
            yield
            return
        fields = (*self._moving(), self.valid)
        kept = [value.clone() for value in fields]
        yield
        moved = torch.zeros(self.copies, dtype=torch.bool, device=self.device)
        moved[rows.to(self.device)] = True
        for value, before in zip(fields, kept, strict=True):
            chosen = moved if value.dim() == 1 else moved.unsqueeze(1)
            value[:] = torch.where(chosen, value, before)

    def _times(self, name: str, body: int, share: Tensor) -> Tensor:
        """A body's nominal value, (...), for copies with so many times of it, (n, 1)."""
        value = self._nominal[name][0, body]
        return value * (share if value.dim() else share.squeeze(1))

    def _cubes(self) -> dict[str, Tensor]:
        return {name: wp.to_torch(getattr(self._m, name)) for name in _OF_CUBES}

    def _moving(self) -> tuple[Tensor, ...]:
        """All that the next step depends on, but for a state's forces."""
        return self.qpos, self.qvel, self.act, self.ctrl, self._warmstart

    def _steps(self, count: int) -> None:
        if count == 0:
            mjw.forward(self._m, self._d)
            self._note()
        for _ in range(count):
            mjw.step(self._m, self._d)
            self._note()
        self._settle()

    def _note(self) -> None:
        if self.watched is None:
            return
        watched = self.watched
        wp.launch(
            note_contacts,
            dim=self.copies,
            inputs=[self._d.sensordata, watched.contact, watched.distance],
            outputs=[wp.from_torch(watched.touched), wp.from_torch(watched.nearest)],
            device=self._warp,
        )

    def _recorded(self, count: int) -> Any:
        """A graph of physics steps. What they change while they are recorded is put back."""
        fields = [*self._moving(), self._force, self._overflow, self.valid]
        kept = [value.clone() for value in fields]

        def put_back() -> None:
            for value, before in zip(fields, kept, strict=True):
                value.copy_(before)

        # On Warp's own stream: torch's default one can't be recorded. Each waits for the other.
        with wp.ScopedDevice(self._warp):
            wp.synchronize_device(self._warp)
            self._steps(count)  # loads kernels, some of them compiled now
            wp.synchronize_device(self._warp)
            put_back()
            wp.synchronize_device(self._warp)
            with wp.ScopedCapture(device=self._warp) as capture:
                self._steps(count)
            wp.synchronize_device(self._warp)
            put_back()
        if self.watched is not None:
            self.watched.touched.zero_()
            self.watched.nearest.fill_(torch.inf)
        return capture.graph

    def _settle(self) -> None:
        """Mark copies that diverged or overflowed, and put them to rest, where they stay finite."""
        data = self._d
        moving = [data.qpos, data.qvel, data.act, data.ctrl, data.qacc_warmstart, data.overflow]
        wp.launch(
            settle,
            dim=self.copies,
            inputs=[*moving, *self._rest, FASTEST, int(_SPOILT)],
            outputs=[wp.from_torch(self.valid)],
            device=self._warp,
        )


@attrs.frozen(eq=False)
class _Columns:
    """Where values stand, as tensors on the device."""

    joint_qpos: Tensor
    joint_qvel: Tensor
    joint_act: Tensor
    finger_qpos: Tensor
    finger_qvel: Tensor
    cube_qpos: Tensor
    cube_qvel: Tensor
    rubbing: Tensor
    lead: Tensor
    weighed: int
    weight: float

    @classmethod
    def of(cls, model: mujoco.MjModel, index: ModelIndex, device: str) -> _Columns:
        def joined(name: str) -> Tensor:
            return there(np.concatenate([getattr(arm, name) for arm in index.arms]))

        def there(values: Any) -> Tensor:
            return torch.as_tensor(np.asarray(values), device=device)

        driven = np.concatenate([arm.joint_ctrl for arm in index.arms])
        disabled = model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_GRAVITY
        pads = [pad for arm in index.arms for pad in arm.pads]
        return cls(
            joint_qpos=joined("joint_qpos"),
            joint_qvel=joined("joint_qvel"),
            joint_act=joined("joint_act"),
            finger_qpos=joined("finger_qpos"),
            finger_qvel=joined("finger_qvel"),
            cube_qpos=there(index.cube_qpos),
            cube_qvel=there(index.cube_qvel),
            rubbing=there([index.cube_geom, index.table_geom, *pads]),
            lead=there(set_point_leads(model, driven).astype(np.float32)),
            weighed=int(index.cube_qvel[2]),
            # A model without gravity, which saves compensating the arms': only the cube is pulled.
            weight=float(model.body_mass[index.cube_body] * model.opt.gravity[2] * bool(disabled)),
        )


def _at_rest(model: mujoco.MjModel, device: str) -> list[Tensor]:
    """What a copy that diverged is put to, arms at home: positions, set points and commands."""
    values = initial_state(model, np.array(HOME))
    return [torch.as_tensor(value, dtype=torch.float32, device=device) for value in values]


def _numbered(device: str) -> str:
    """Torch's name of a device as tensors tell it: "cuda" stands for one with a number."""
    named = torch.device(device)
    if named.type == "cuda" and named.index is None:
        return f"cuda:{torch.cuda.current_device()}"  # type: ignore[unreachable]
    return device


def _capturing(device: str) -> bool:
    return torch.device(device).type == "cuda" and torch.cuda.is_current_stream_capturing()


@contextmanager
def on_torchs_stream(device: str) -> Iterator[None]:
    """In it, Warp works on torch's current stream, and goes into a graph that torch records."""
    if torch.device(device).type != "cuda":
        yield
        return
    stream, recording = wp.stream_from_torch(torch.cuda.current_stream(device)), _capturing(device)
    # A recording must not wait for the stream that Warp worked on before, which is not part of it.
    with wp.ScopedStream(stream, sync_enter=not recording):
        if not recording:
            yield
            return
        wp.capture_begin(stream=stream, force_module_load=False, external=True)
        try:
            yield
        finally:
            wp.capture_end(stream=stream)


def _prepare() -> None:
    """Keep compiled kernels with the Python environment, so that each compiles them once."""
    chosen = os.environ.get("WARP_CACHE_PATH") or wp.config.kernel_cache_dir
    if not chosen and os.access(sys.prefix, os.W_OK):
        wp.config.kernel_cache_dir = str(Path(sys.prefix) / ".cache" / "warp")
    wp.config.log_level = max(wp.config.log_level, wp.LOG_WARNING)
    wp.init()
