"""What this distribution registers. Nothing heavy is imported before a factory is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from codi_core.host.hookspecs import hookimpl
from codi_core.host.records import (
    BenchmarkRecord,
    CommandRecord,
    DriverRecord,
    Main,
    SimulatorRecord,
    TaskRecord,
)
from codi_franka.vision.extra import require_vision

if TYPE_CHECKING:
    from codi_core.resources import Resources
    from codi_core.tasks import Plant, Task, TaskParts
    from codi_franka.physics.simulator import SimulatorMaker

TASK = "franka-handoff"


@hookimpl
def codi_tasks() -> Iterator[TaskRecord]:
    """The two-arm handover."""
    yield TaskRecord(TASK, "two FR3 arms hand a cube over to bring it to a goal", _task)


@hookimpl
def codi_simulators() -> Iterator[SimulatorRecord]:
    """Full physics of FR3 arms, a table and a cube."""
    yield SimulatorRecord(
        "mujoco", "FR3 arms in MuJoCo 4, batched on the CPU", _mujoco, tasks=(TASK,)
    )
    yield SimulatorRecord(
        "mujoco-warp", "the same physics on a GPU, in MuJoCo Warp", _mujoco_warp, tasks=(TASK,)
    )
    yield SimulatorRecord(
        "isaacgym", "Isaac Gym Preview 4, in an interpreter of its own", _isaacgym, tasks=(TASK,)
    )


@hookimpl
def codi_drivers() -> Iterator[DriverRecord]:
    """Two real arms."""
    yield DriverRecord("fr3", "two FR3 arms with Franka hands", _fr3, tasks=(TASK,))


@hookimpl
def codi_commands() -> Iterator[CommandRecord]:
    """Pictures of runs, and what cameras need."""
    yield CommandRecord(
        "franka-pictures", "draw videos, film strips and paths of a handover run", _pictures
    )
    yield CommandRecord("franka-replay", "drive a simulation by a recorded run", _replay)
    yield CommandRecord("franka-check", "check all that a run with two arms needs", _check)
    yield CommandRecord("franka-home", "bring both arms to where episodes start", _home)
    yield CommandRecord("franka-recover", "clear the errors of both arms", _recover)
    yield CommandRecord("franka-markers", "write the sheet of markers to print", _markers)
    yield CommandRecord("franka-calibrate", "measure the cameras that see the cube", _calibrate)


@hookimpl
def codi_benchmarks() -> Iterator[BenchmarkRecord]:
    """How well the cube is tracked, and how the driver does without arms."""
    yield BenchmarkRecord("tracking", "tracking of the cube in rendered pictures", _tracking)
    yield BenchmarkRecord(
        "hardware", "long runs and faults of the driver, against simulated arms", _hardware
    )


def _task() -> Task:
    from codi_franka.task import HandoffTask

    return HandoffTask()


def _mujoco(resources: Resources, **options: Any) -> SimulatorMaker:
    from codi_franka.physics.mujoco_maker import MujocoMaker

    return MujocoMaker(resources.threads, **options)


def _fr3(
    parts: TaskParts,
    resources: Resources,
    left: str,
    right: str,
    cube: str = "auto",
    cameras: str = "",
    home: bool = False,
    dry_run: bool = False,
    safety: str = "full",
    force: float = 80.0,
    slowdown: float = 1.0,
    period: float = 0.01,
    truth: int = 0,
) -> Plant:
    from codi_franka.hardware.driver import fr3

    return fr3(
        parts,
        resources,
        left,
        right,
        cube=cube,
        cameras=cameras,
        home=home,
        dry_run=dry_run,
        safety=safety,
        force=force,
        slowdown=slowdown,
        period=period,
        truth=truth,
    )


def _mujoco_warp(resources: Resources, **options: Any) -> SimulatorMaker:
    from codi_franka.physics.warp_simulator import WarpMaker

    return WarpMaker(resources.device, **options)


def _isaacgym(resources: Resources, **options: Any) -> SimulatorMaker:
    from codi_franka.physics.isaac.simulator import WorkerMaker

    return WorkerMaker(**{"device": resources.device, **options})


def _pictures() -> Main:
    from codi_franka.rendering.command import main

    return main


def _replay() -> Main:
    from codi_franka.replaying.command import main

    return main


def _markers() -> Main:
    require_vision()
    from codi_franka.vision.markers_command import main

    return main


def _calibrate() -> Main:
    require_vision()
    from codi_franka.vision.calibrate_command import make_main

    return make_main(_joint_reader)


def _joint_reader(addresses: str) -> Any:
    from codi_franka.hardware.joint_reader import joint_reader

    return joint_reader(addresses)


def _tracking() -> Main:
    require_vision()
    from codi_franka.vision.measuring.command import main

    return main


def _hardware() -> Main:
    from codi_franka.hardware.bench.command import main

    return main


def _check() -> Main:
    from codi_franka.hardware.commands.check import main

    return main


def _home() -> Main:
    from codi_franka.hardware.commands.home import main

    return main


def _recover() -> Main:
    from codi_franka.hardware.commands.recover import main

    return main
