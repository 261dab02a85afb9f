"""MuJoCo keeps the contract of simulators, and who breaks it is told how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from codi_core.testing import ConformanceError
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.simulator import CubeProperties, HandoffSimulator, Simulated
from codi_franka.state import FrankaState
from codi_franka.testing import EXACT, check_handoff_simulator


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo leaves MUJOCO_LOG.TXT behind where a simulation diverges."""
    monkeypatch.chdir(tmp_path)


def test_mujoco() -> None:
    check_handoff_simulator(MujocoMaker(), EXACT)


def test_mujoco_without_rollouts_of_its_own() -> None:
    """Predictors then step it from outside."""
    maker = MujocoMaker()
    check_handoff_simulator(lambda arms, copies: maker(arms, copies), EXACT)


class Faulty(HandoffSimulator):
    """MuJoCo, but for what a test changes."""

    def __init__(self, inner: MujocoSimulator, **changes: Any) -> None:
        self.inner, self.changes = inner, changes
        self.device, self.copies, self.substeps = "cpu", inner.copies, inner.substeps

    def set_state(
        self, state: FrankaState, rows: Tensor | None = None, cube: CubeProperties | None = None
    ) -> None:
        change = self.changes.get("set")
        self.inner.set_state(change(state) if change else state, rows, cube)

    def step(self, targets: Tensor, count: int, rows: Tensor | None = None) -> Simulated:
        if self.changes.get("all_rows") and rows is not None:
            every = torch.zeros(self.copies, targets.shape[1])
            every[rows] = targets
            seen = self.inner.step(every, count)
            valid, state = seen.valid[rows], seen.state.of_worlds(rows)
            return attrs.evolve(seen, valid=valid, state=state)
        if self.changes.get("slow"):
            count = count // 2
        seen = self.inner.step(targets, count, rows)
        change = self.changes.get("see")
        return change(seen) if change else seen


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"set": lambda state: attrs.evolve(state, gripper_width=state.gripper_width + 0.01)},
            "a state that was set comes back with another 'gripper_width', off by 0.01",
        ),
        (
            {"see": lambda seen: attrs.evolve(seen, valid=seen.valid[:1])},
            r"`valid` has the shape \(1,\) and holds torch.bool; it must hold one boolean for",
        ),
        ({"all_rows": True}, "steps of other copies change another 'joint_position'"),
        ({"slow": True}, "after 10 physics steps 'joint_position' is .* at most 0 is allowed"),
        (
            {"see": lambda seen: attrs.evolve(seen, valid=torch.ones_like(seen.valid))},
            r"`valid` is \[True, True, True\] where the second copy broke down",
        ),
        (
            {"see": lambda seen: attrs.evolve(seen, cube_force=-seen.cube_force)},
            "an arm acts with -0.98 N on a cube that weighs 0.98 N",
        ),
        (
            {"see": lambda seen: attrs.evolve(seen, cube_contact=~seen.cube_contact)},
            "a grasped cube is not touched by an arm",
        ),
        (
            {"see": lambda seen: attrs.evolve(seen, arm_contact=~seen.arm_contact)},
            r"arms that meet, and that don't: `arm_contact` is \[False, True\]",
        ),
        (
            {"see": lambda seen: attrs.evolve(seen, hand_distance=0 * seen.hand_distance)},
            r"hands that meet, and that don't, are \[-?0.0, 0.0\] m apart",
        ),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    maker = MujocoMaker()
    with pytest.raises(ConformanceError, match=message):
        check_handoff_simulator(lambda arms, n: Faulty(maker(arms, n), **changes), EXACT)
