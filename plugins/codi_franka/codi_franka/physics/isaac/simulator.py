"""Copies in a worker of another interpreter behind the simulator interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codi_core.errors import UsageError
from codi_franka.physics.isaac.process import Worker
from codi_franka.physics.isaac.scene import description
from codi_franka.physics.isaac.wire import STATE
from codi_franka.physics.simulator import (
    CONTROL_PERIOD,
    CubeProperties,
    HandoffSimulator,
    Simulated,
)
from codi_franka.robot.cell import CUBE_SIZE
from codi_franka.robot.clearance import arm_clearance, arm_points
from codi_franka.robot.frames import BaseFrames
from codi_franka.state import FrankaState, tcp_in_world

STIFFNESS_SCALE = 0.25
"""Of the joints, as in MuJoCo's model."""

FAR = 2.0
"""[m] Distances between hands are told up to here."""

HAND_RADIUS = 0.05
"""[m] By which two hands' centres are farther apart than their geometries, about."""

TOUCHING = 0.05
"""[m] A hand whose centre is that near to a cube's, beyond half of its size, may touch it."""


class WorkerSimulator(HandoffSimulator):
    """Copies that a worker steps; states, targets and results go through shared memory.

    What the worker does not measure is estimated from the state after a call: the distance of hands
    and contacts of arms from capsules around them (:mod:`codi_franka.robot.clearance`), whether an
    arm touches the cube from how near it is.

    Args:
        arms: names of the arms, in the order of the state.
        copies: n.
        worker: the process.
        substeps: how many physics steps make a control period.
    """

    device = "cpu"

    def __init__(self, arms: tuple[str, ...], copies: int, worker: Worker, substeps: int) -> None:
        self.arms, self.copies, self.substeps = arms, copies, substeps
        self.worker = worker
        self._measures = set(worker.ready["measures"])
        self._bases = BaseFrames.of(arms)

    def set_state(
        self, state: FrankaState, rows: Tensor | None = None, cube: CubeProperties | None = None
    ) -> None:
        """Put some copies into states, and leave the others alone (see the base class)."""
        shared, chosen = self.worker.shared, self._choose(rows)
        for name, _ in STATE:
            shared[f"set.{name}"][chosen] = getattr(state, name).detach().cpu().numpy()
        if cube is not None:
            shared["set.mass"][chosen] = cube.mass.cpu().numpy()
            shared["set.friction"][chosen] = cube.friction.cpu().numpy()
        self.worker.call("set_state", cubes=cube is not None)

    def step(self, targets: Tensor, count: int, rows: Tensor | None = None) -> Simulated:
        """Hold actuator targets (see the base class)."""
        shared, chosen = self.worker.shared, self._choose(rows)
        shared["targets"][chosen] = targets.detach().cpu().numpy()
        self.worker.call("step", count=count)
        state = FrankaState(**{name: self._read(f"now.{name}", chosen) for name, _ in STATE})
        valid = self._read("now.valid", chosen).bool()
        known = {name: self._read(f"now.{name}", chosen) for name in self._measures}
        for name in ("arm_contact", "cube_contact"):
            if name in known:
                known[name] = known[name].bool()
        return Simulated(state, valid, **{**self._estimated(state), **known})

    def close(self) -> None:
        """End the worker."""
        self.worker.close()

    def _choose(self, rows: Tensor | None) -> slice | np.ndarray:
        chosen = slice(None) if rows is None else rows.cpu().numpy()
        mask = self.worker.shared["rows"]
        mask[:] = 0
        mask[chosen] = 1
        return chosen

    def _read(self, name: str, chosen: slice | np.ndarray) -> Tensor:
        return torch.from_numpy(self.worker.shared[name][chosen].copy())

    def _estimated(self, state: FrankaState) -> dict[str, Tensor]:
        hands = tcp_in_world(state, self._bases)  # (n, N, 3)
        gap = (hands - state.cube_position.unsqueeze(1)).norm(dim=-1)
        near = (gap < CUBE_SIZE / 2 + TOUCHING) & (state.gripper_width < 1.2 * CUBE_SIZE)
        none = torch.zeros(len(gap), dtype=torch.bool)
        found = {
            "arm_contact": none,
            "cube_contact": near.any(-1),
            "hand_distance": torch.full((len(gap),), FAR),
        }
        if len(self.arms) == 2:
            base = self._bases.points_to_base(hands)
            points = tuple(self._bases.points_to_world(point) for point in arm_points(base))
            clearance = arm_clearance(points)
            apart = (hands[:, 0] - hands[:, 1]).norm(dim=-1) - 2 * HAND_RADIUS
            found["arm_contact"] = clearance <= 0.0
            found["hand_distance"] = apart.clamp(0.0, FAR)
        return found


class WorkerMaker:
    """Makes simulators in workers, one process each.

    Args:
        python: the interpreter; for Isaac Gym one of Python 3.6 to 3.8 that has it.
        device: where the worker computes, "cpu" or "cuda:0".
        timestep: of the physics [s].
        backend: ``isaacgym``, or the file of another one; see ``worker.py`` beside this file.
        patience: for how long nothing may be heard of a worker [s].
    """

    def __init__(
        self,
        python: str = "",
        device: str = "cpu",
        timestep: float = 0.01,
        backend: str = "isaacgym",
        patience: float = 120.0,
    ) -> None:
        if not python:
            raise UsageError(
                "simulator 'isaacgym' needs the interpreter that has Isaac Gym, which is not this "
                "one: --simulator isaacgym:python=/path/to/python3.8"
            )
        self.python, self.device, self.timestep = str(Path(python).expanduser()), device, timestep
        self.backend, self.patience = backend, patience

    def __call__(self, arms: tuple[str, ...], copies: int) -> WorkerSimulator:
        """A simulator of these arms, in the order of the state, in n copies."""
        opening = {
            **description(arms, copies, self.timestep, STIFFNESS_SCALE),
            "device": self.device,
        }
        worker = Worker(self.python, self.backend, opening, self.patience)
        substeps = round(CONTROL_PERIOD / self.timestep)
        return WorkerSimulator(arms, copies, worker, substeps)
