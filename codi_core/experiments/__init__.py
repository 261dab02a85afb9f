"""Experiments: configure, run and read them in Python, as the commands do.

    from codi_core import experiments

    run = experiments.run("franka-handoff", method="codi", episodes=8, seed=1)
    run.metrics, run.episodes, run.figure()

The names are imported on first use, so that ``codi-run --help`` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codi_core.late_names import late_names

_EXPORTS = {
    "codi_core.experiments.configuration": ("RunConfig", "resolve"),
    "codi_core.experiments.experiment": ("Experiment", "from_config", "prepare"),
    "codi_core.experiments.grid": ("Grid",),
    "codi_core.experiments.opening": ("InstalledTask", "find_task"),
    "codi_core.experiments.planning": ("Planned", "plan"),
    "codi_core.experiments.pool": ("worker_pool",),
    "codi_core.experiments.replaying": ("replay",),
    "codi_core.experiments.running": ("Run", "read_run", "run"),
    "codi_core.experiments.waves": ("run_wave",),
}
__getattr__, __dir__ = late_names(__name__, _EXPORTS)

if TYPE_CHECKING:
    from codi_core.experiments.configuration import RunConfig as RunConfig
    from codi_core.experiments.configuration import resolve as resolve
    from codi_core.experiments.experiment import Experiment as Experiment
    from codi_core.experiments.experiment import from_config as from_config
    from codi_core.experiments.experiment import prepare as prepare
    from codi_core.experiments.grid import Grid as Grid
    from codi_core.experiments.opening import InstalledTask as InstalledTask
    from codi_core.experiments.opening import find_task as find_task
    from codi_core.experiments.planning import Planned as Planned
    from codi_core.experiments.planning import plan as plan
    from codi_core.experiments.pool import worker_pool as worker_pool
    from codi_core.experiments.replaying import replay as replay
    from codi_core.experiments.running import Run as Run
    from codi_core.experiments.running import read_run as read_run
    from codi_core.experiments.running import run as run
    from codi_core.experiments.waves import run_wave as run_wave
