"""The names under which gymnasium and PettingZoo find the environments."""

from __future__ import annotations

from codi_core.host.late_import import register_with_gymnasium, register_with_pettingzoo

ENVIRONMENT_IDS = {
    "codi/NavigationSwap-v0": "navigation-swap",
    "codi/NavigationCorridor-v0": "navigation-corridor",
    "codi/NavigationWarehouse-v0": "navigation-warehouse",
}
"""The libraries' names of the tasks."""


def register() -> None:
    """Make the environments known to both, now or as soon as somebody imports them."""
    for name, task in ENVIRONMENT_IDS.items():
        entry_point = "codi_navigation.gym.environment:NavigationEnv"
        register_with_gymnasium(name, entry_point, kwargs={"task": task})
        parallel = "codi_navigation.gym.parallel:NavigationParallelEnv"
        register_with_pettingzoo(name, parallel, task=task)
