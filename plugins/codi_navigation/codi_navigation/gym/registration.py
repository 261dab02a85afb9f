"""Registers the environments with gymnasium without importing it.

``gymnasium.make("codi_navigation:codi/NavigationSwap-v0")`` imports ``codi_navigation`` and then
looks the name up. Importing gymnasium here as well would cost every command line call a tenth of a
second, so the names are registered when somebody else imports gymnasium, before or after this
package.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

ENVIRONMENT_IDS = {
    "codi/NavigationSwap-v0": "navigation-swap",
    "codi/NavigationCorridor-v0": "navigation-corridor",
    "codi/NavigationWarehouse-v0": "navigation-warehouse",
}
"""gymnasium's names of the tasks."""

_REGISTRY = "gymnasium.envs.registration"


def register_with_gymnasium() -> None:
    """Register now if gymnasium is imported, or else as soon as it is."""
    if _REGISTRY in sys.modules:
        _register(sys.modules[_REGISTRY])
    elif not any(isinstance(finder, _WaitForGymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WaitForGymnasium())


def _register(registration: Any) -> None:
    for name, task in ENVIRONMENT_IDS.items():
        if name not in registration.registry:
            registration.register(
                id=name,
                entry_point="codi_navigation.gym.environment:NavigationEnv",
                kwargs={"task": task},
            )


class _WaitForGymnasium(MetaPathFinder):
    """Finds gymnasium's registry as usual, and registers once it has been executed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != _REGISTRY:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        loader: Any = None if spec is None else spec.loader
        if loader is None:
            return spec
        execute = loader.exec_module

        def execute_and_register(module: Any) -> None:
            execute(module)
            _register(module)

        loader.exec_module = execute_and_register
        return spec
