"""How many contacts and constraints a copy needs: what MuJoCo Warp's buffers are sized by.

    python benchmarks/warp_rooms.py

Arms follow random actions, moderate and wild ones in turn, from states in which a cube lies on the
table, is between fingers, is carried, and is held by both hands. After each control step contacts
and rows of constraints are counted, by MuJoCo on the CPU.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import attrs
import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from reporting import options, save, table

from codi_franka.action import HORIZON
from codi_franka.geometry import quaternion_exp
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.nominal import build_nominal_model
from codi_franka.physics.rollouts import Commands
from codi_franka.physics.sensors import instrumented_model
from codi_franka.robot.cell import ARM_BASES, ARMS, CUBE_SIZE
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.reach import follow
from codi_franka.state import FrankaState

Point = tuple[float, float, float]


def posture(arm: str, point: Point | None) -> list[float]:
    """Joint angles [rad] with which an arm's TCP is at a point of the world frame, or home."""
    if point is None:
        return list(HOME)
    base, turn = ARM_BASES[arm].position, 1.0 if arm == "left" else -1.0
    target = torch.tensor([turn * (point[0] - base[0]), turn * point[1], point[2]])
    joints: list[float] = follow(EndEffectorController(), torch.tensor(HOME), target, duration=8.0)[
        -1
    ].tolist()
    return joints


def scene(cube: Point, left: Point | None, right: Point | None, width: float) -> FrankaState:
    """One copy at rest."""
    return FrankaState(
        joint_position=torch.tensor([[posture("left", left), posture("right", right)]]),
        joint_velocity=torch.zeros(1, 2, 7),
        gripper_width=torch.full((1, 2), width),
        cube_position=torch.tensor([cube]),
        cube_quaternion=quaternion_exp(torch.zeros(1, 3)),
        cube_velocity=torch.zeros(1, 6),
    )


def scenes(each: int) -> FrankaState:
    """``each`` copies of every scene."""
    made = (
        scene((-0.2, 0.05, CUBE_SIZE / 2), (-0.2, 0.05, CUBE_SIZE / 2), None, 0.08),
        scene((0.3, -0.2, CUBE_SIZE / 2), None, None, 0.08),
        scene((-0.2, 0.0, 0.2), (-0.2, 0.0, 0.2), None, CUBE_SIZE),
        scene((0.0, 0.0, 0.2), (-0.005, 0.0, 0.2), (0.005, 0.0, 0.2), CUBE_SIZE),
    )
    names = [field.name for field in attrs.fields(FrankaState) if field.name != "goal"]
    parts = {n: torch.cat([getattr(one, n) for one in made]) for n in names}
    return FrankaState(**parts).repeat(each)


def counts(model: mujoco.MjModel, each: int, seeds: int) -> NDArray[np.int64]:
    """Contacts and rows (states, 2)."""
    data, found, start = mujoco.MjData(model), [], scenes(each)
    scale = torch.tensor([0.2, 0.2, 0.2, 0.6, 0.6, 0.6, 0.03])
    middle = torch.tensor([0.0] * 6 + [0.05])
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        draws = torch.randn(start.worlds, HORIZON, 2, 7, generator=generator)
        actions = (middle + scale * draws) * (8.0 if seed % 2 == 0 else 1.0)
        simulator, commands = MujocoSimulator(ARMS, start.worlds, 1, model), Commands(actions)
        simulator.set_state(start)
        joints = start.joint_position
        for step in range(HORIZON):
            simulator.hold(commands.targets(step, joints), simulator.substeps)
            positions = simulator.positions()
            joints = torch.nan_to_num(torch.from_numpy(positions[:, simulator.index.joint_qpos]))
            for row in positions:
                data.qpos[:] = row
                mujoco.mj_fwdPosition(model, data)
                found.append((data.ncon, data.nefc))
    return np.array(found)


def main() -> int:
    """Count for both models."""
    given = _given()
    torch.set_num_threads(1)
    models = {
        "environment": partial(instrumented_model, ARMS),
        "light": partial(build_nominal_model, ARMS),
    }
    rows, figures = [], {}
    for name, build in models.items():
        found = counts(build(), given.copies, given.seeds)
        most, mean = found.max(0), found.mean(0)
        figures[name] = {
            "states": len(found),
            "contacts": {"most": int(most[0]), "mean": float(mean[0])},
            "rows": {"most": int(most[1]), "mean": float(mean[1])},
        }
        rows.append([name, f"{most[0]} ({mean[0]:.1f})", f"{most[1]} ({mean[1]:.1f})"])
    columns = ["model", "contacts: most (mean)", "rows of constraints: most (mean)"]
    table(f"{figures['light']['states']} states", columns, rows)
    save(given.json, figures)
    return 0


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--copies", type=int, default=12, help="of each scene")
    parser.add_argument("--seeds", type=int, default=6, help="of random actions")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
