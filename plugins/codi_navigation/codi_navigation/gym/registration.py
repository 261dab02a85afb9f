"""Registers the environments with gymnasium without importing it.

``gymnasium.make("codi_navigation:codi/NavigationSwap-v0")`` imports ``codi_navigation`` and then
looks the name up. Importing gymnasium here as well would cost every command line call a tenth of a
second, so the names are registered when somebody else imports gymnasium, before or after this
package.
"""

from __future__ import annotations

from typing import Any

from codi_core.host.late_import import when_imported

ENVIRONMENT_IDS = {
    "codi/NavigationSwap-v0": "navigation-swap",
    "codi/NavigationCorridor-v0": "navigation-corridor",
    "codi/NavigationWarehouse-v0": "navigation-warehouse",
}
"""gymnasium's names of the tasks."""


def register_with_gymnasium() -> None:
    """Register now if gymnasium is imported, or else as soon as it is."""
    when_imported("gymnasium.envs.registration", _register)


def _register(registration: Any) -> None:
    for name, task in ENVIRONMENT_IDS.items():
        if name not in registration.registry:
            registration.register(
                id=name,
                entry_point="codi_navigation.gym.environment:NavigationEnv",
                kwargs={"task": task},
            )
