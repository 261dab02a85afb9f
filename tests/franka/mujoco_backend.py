"""MuJoCo behind the wire of Isaac Gym: a backend of the worker, in an interpreter of its own."""

# ruff: noqa: E402

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins" / "codi_franka")]

import mujoco
import torch

from codi_franka.physics.isaac import wire
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.physics.simulator import CubeProperties
from codi_franka.state import FrankaState


def make(opening):
    return Backend(opening)


class Backend:
    measures = ("arm_contact", "cube_contact", "cube_force", "hand_distance")

    def __init__(self, opening):
        torch.set_num_threads(1)
        self.versions = {"mujoco": mujoco.__version__}
        maker = MujocoMaker(timestep=opening["timestep"])
        self.simulator = maker(tuple(opening["arms"]), opening["copies"])

    def set_state(self, state, rows, cubes):
        there = FrankaState(**{name: torch.tensor(value) for name, value in state.items()})
        cube = None
        if cubes is not None:
            cube = CubeProperties(*(torch.tensor(cubes[n]) for n in ("mass", "friction")))
        self.simulator.set_state(there, torch.tensor(rows), cube)

    def step(self, targets, count, rows):
        seen = self.simulator.step(torch.tensor(targets), count, torch.tensor(rows))
        found = {name: getattr(seen.state, name).numpy() for name, _ in wire.STATE}
        found["valid"] = seen.valid.numpy()
        for name in self.measures:
            found[name] = getattr(seen, name).numpy().astype(np.float32)
        return found

    def close(self):
        pass
