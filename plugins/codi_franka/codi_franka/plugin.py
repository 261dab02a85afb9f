"""What this distribution registers. Nothing heavy is imported before a factory is called."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from codi_core.host.hookspecs import hookimpl
from codi_core.host.records import CostRecord, SimulatorRecord, TaskRecord

if TYPE_CHECKING:
    from codi_core.costs import CostFunction
    from codi_core.tasks import Simulator, Task

TASK = "franka-handoff"

_COST_SUMMARIES = {
    "handoff-goal": "Eq. 42: distance of the cube from the goal; option threshold [m]",
    "handoff-collision": "Eq. 43: closeness of the hands; options radius [m], kind",
    "handoff-engagement": "Eq. 44: distance of the closer hand from the cube; option threshold [m]",
    "handoff-engage-all": "distance of every hand from the cube (CoDi-Indep); option threshold [m]",
}


@hookimpl
def codi_tasks() -> Iterator[TaskRecord]:
    """The two-arm handover."""
    yield TaskRecord(TASK, "two FR3 arms hand a cube over to bring it to a goal", _task)


@hookimpl
def codi_costs() -> Iterator[CostRecord]:
    """The terms of Eq. 20."""
    for name, summary in _COST_SUMMARIES.items():
        yield CostRecord(name, summary, partial(_cost, name), tasks=(TASK,))


@hookimpl
def codi_simulators() -> Iterator[SimulatorRecord]:
    """Full physics of FR3 arms, a table and a cube."""
    yield SimulatorRecord("franka-mujoco", "FR3 arms in MuJoCo 4, batched on the CPU", _mujoco)


def _task() -> Task:
    from codi_franka.handoff.task import HandoffTask

    return HandoffTask()


def _cost(name: str, **options: Any) -> CostFunction:
    from codi_franka.handoff.task import COSTS

    return COSTS[name](**options)


def _mujoco(**options: Any) -> Simulator:
    from codi_franka.physics.mujoco_simulator import MujocoSimulator

    return MujocoSimulator(**options)
