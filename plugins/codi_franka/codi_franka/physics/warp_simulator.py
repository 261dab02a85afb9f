"""MuJoCo Warp behind the simulator interface, and as rollouts, for ``--simulator mujoco-warp``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import attrs
import mujoco
import torch
import warp as wp
from torch import Tensor

from codi_franka.physics.model import DEFAULT_TIMESTEP
from codi_franka.physics.nominal import build_nominal_model
from codi_franka.physics.rollouts import Commands, Followed, Rollouts
from codi_franka.physics.sensors import FAR, SensorReadings, instrumented_model
from codi_franka.physics.simulator import (
    CONTROL_PERIOD,
    CubeProperties,
    HandoffSimulator,
    Simulated,
)
from codi_franka.physics.warp_copies import Room, WarpCopies, Watched
from codi_franka.state import FrankaState, tensors

ROOM = Room(contacts=32, rows=120)
"""For the environment's model. The most that 4,608 states of random arms and cubes took were 21
contacts and 86 rows, see ``benchmarks/warp_rooms.py``."""

LIGHT_ROOM = Room(contacts=32, rows=124)
"""For the light model, whose boxes meet in up to eight points: 28 contacts and 114 rows."""


class WarpSimulator(HandoffSimulator):
    """Full physics of the arms with contacts, on a GPU, or on the CPU to be tested there.

    Args:
        arms: names of the arms, in the order of the state.
        copies: n.
        device: torch's name of it.
        model: a compiled model with sensors.
        room: how many contacts and constraints there is room for.
    """

    def __init__(
        self,
        arms: tuple[str, ...],
        copies: int,
        device: str,
        model: mujoco.MjModel,
        room: Room = ROOM,
    ) -> None:
        self.arms, self.copies = arms, copies
        self.substeps = round(CONTROL_PERIOD / model.opt.timestep)
        self._copies = WarpCopies(model, copies, device, room, varied=True)
        self.device = device = self._copies.device
        self._sensors = SensorReadings(model)
        self._copies.watched = _watched(self._sensors, copies, device)
        self._cube_contact, self._cube_force = (
            torch.as_tensor(columns, device=device)
            for columns in (self._sensors.cube_contact_columns, self._sensors.cube_force_columns)
        )

    def set_state(
        self, state: FrankaState, rows: Tensor | None = None, cube: CubeProperties | None = None
    ) -> None:
        """Put some copies into states, and leave the others alone (see the base class)."""
        self._copies.place(state, rows)
        if cube is not None:
            self._copies.vary(cube, rows)

    def step(self, targets: Tensor, count: int, rows: Tensor | None = None) -> Simulated:
        """Hold actuator targets (see the base class); chosen rows take as long as all."""
        copies = self._copies
        with copies.only(rows):
            copies.ctrl[slice(None) if rows is None else rows.to(self.device)] = targets
            copies.advance(count)
        watched, data = copies.watched, copies.sensordata
        assert watched is not None
        seen = Simulated(
            copies.read(),
            copies.valid.clone(),
            arm_contact=watched.touched.clone(),
            cube_contact=(data[:, self._cube_contact] > 0).any(-1),
            cube_force=data[:, self._cube_force],
            hand_distance=watched.nearest.clamp(max=FAR),
        )
        return seen if rows is None else _rows_of(seen, rows.to(self.device))


class WarpRollouts(Rollouts):
    """n copies that follow actions, a controller between their steps.

    On a GPU all of it, the controller included, is one CUDA graph, recorded once for each number
    of control steps. Inside of a graph that others record, as of a plan, it is part of theirs.

    Args:
        arms: the arms' names, in the order of the state.
        copies: n.
        device: torch's name of it.
        model: what is simulated; it has no sensors.
        room: how many contacts and constraints there is room for.
    """

    def __init__(
        self,
        arms: tuple[str, ...],
        copies: int,
        device: str,
        model: mujoco.MjModel,
        room: Room = LIGHT_ROOM,
    ) -> None:
        self.copies = copies
        self.substeps = round(CONTROL_PERIOD / model.opt.timestep)
        self._copies = WarpCopies(model, copies, device, room)
        self.device = self._copies.device
        self._graphs: dict[int, _Graph | None] = {}

    def follow(self, state: FrankaState, actions: Tensor) -> Followed:
        """Follow the actions (see the base class)."""
        state = attrs.evolve(state, goal=None)
        if torch.device(self.device).type != "cuda" or torch.cuda.is_current_stream_capturing():
            return self._follow(state, actions)
        steps = actions.shape[1]
        if steps not in self._graphs:
            self._graphs[steps] = self._recorded(state, actions)
        graph = self._graphs[steps]
        return self._follow(state, actions) if graph is None else graph(state, actions)

    def _recorded(self, state: FrankaState, actions: Tensor) -> _Graph | None:
        """A graph of these rollouts, or None, with a warning, if something can't be recorded."""
        try:
            return _Graph(self._follow, state, actions)
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[0]
            warnings.warn(f"rollouts are made without one CUDA graph: {reason}", stacklevel=3)
            return None

    def _follow(self, state: FrankaState, actions: Tensor) -> Followed:
        copies, commands = self._copies, Commands(actions)
        copies.place(state)
        joints, path = state.joint_position, []
        for step in range(len(commands)):
            copies.ctrl[:] = commands.targets(step, joints)
            copies.advance(self.substeps)
            path.append(copies.qpos.clone())
            joints = copies.joints(path[-1])
        whole = torch.stack(path, 1)  # and decoded at once: small operations take their time
        return Followed(
            joint_position=copies.joints(whole),
            gripper_width=copies.widths(whole),
            cube_position=copies.cubes(whole)[..., :3],
            valid=copies.valid.clone(),
            last=copies.read(),
        )


class _Graph:
    """A CUDA graph of rollouts: it always reads and writes the same memory."""

    def __init__(
        self,
        follow: Callable[[FrankaState, Tensor], Followed],
        state: FrankaState,
        actions: Tensor,
    ) -> None:
        self._state = attrs.evolve(state, **{name: value.clone() for name, value in tensors(state)})
        self._actions = actions.clone()
        follow(self._state, self._actions)  # loads kernels, copies constants
        torch.cuda.synchronize(actions.device)
        self._graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(actions.device)
        # Warp joins the recording with the same mode.
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            self._found = follow(self._state, self._actions)

    def __call__(self, state: FrankaState, actions: Tensor) -> Followed:
        for (_, kept), (_, value) in zip(tensors(self._state), tensors(state), strict=True):
            kept.copy_(value)
        self._actions.copy_(actions)
        self._graph.replay()
        found = self._found
        last = attrs.evolve(
            found.last, **{name: value.clone() for name, value in tensors(found.last)}
        )
        return Followed(
            found.joint_position.clone(),
            found.gripper_width.clone(),
            found.cube_position.clone(),
            found.valid.clone(),
            last,
        )


class WarpMaker:
    """Makes simulators and rollouts in MuJoCo Warp, and compiles each model once.

    Args:
        device: where they work, torch's name of it.
        timestep: of the environment's physics [s]; up to 0.01 keeps a grasp.
        contacts: room for contacts a copy, in environments and rollouts; 0 for what was measured.
        rows: room for rows of constraints a copy, likewise.
    """

    def __init__(
        self,
        device: str = "cpu",
        timestep: float = DEFAULT_TIMESTEP,
        contacts: int = 0,
        rows: int = 0,
    ) -> None:
        self.device, self.timestep = device, timestep
        self.contacts, self.rows = contacts, rows
        self._models: dict[tuple[str, ...], mujoco.MjModel] = {}
        self._light: dict[tuple[str, ...], mujoco.MjModel] = {}

    def __call__(self, arms: tuple[str, ...], copies: int) -> WarpSimulator:
        """A simulator of these arms, in the order of the state, in n copies."""
        if arms not in self._models:
            self._models[arms] = instrumented_model(arms, self.timestep)
        room = self._room(ROOM)
        return WarpSimulator(arms, copies, self.device, self._models[arms], room)

    def rollouts(self, arms: tuple[str, ...], copies: int) -> WarpRollouts:
        """What predictors roll out: n copies of the light model, with time steps of its own."""
        if arms not in self._light:
            self._light[arms] = build_nominal_model(arms)
        room = self._room(LIGHT_ROOM)
        return WarpRollouts(arms, copies, self.device, self._light[arms], room)

    def _room(self, usual: Room) -> Room:
        return Room(self.contacts or usual.contacts, self.rows or usual.rows)


def _watched(sensors: SensorReadings, copies: int, device: str) -> Watched:
    where = wp.device_from_torch(torch.device(device))

    def there(columns: list[int]) -> Any:
        return wp.array(columns, dtype=int, device=where)

    return Watched(
        contact=there(sensors.arm_contact_columns),
        distance=there(sensors.distance_columns),
        touched=torch.zeros(copies, dtype=torch.bool, device=device),
        nearest=torch.full((copies,), torch.inf, device=device),
    )


def _rows_of(seen: Simulated, rows: Tensor) -> Simulated:
    changed: dict[str, Any] = {
        field.name: getattr(seen, field.name)[rows]
        for field in attrs.fields(Simulated)
        if field.name != "state"
    }
    return Simulated(state=seen.state.of_worlds(rows), **changed)
