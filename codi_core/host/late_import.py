"""Acts on another library's module once somebody imports it, without importing it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def when_imported(name: str, act: Callable[[ModuleType], None]) -> Callable[[], object]:
    """Call ``act`` with the module ``name``: now if it is imported, or else as soon as it is.

    So a plugin can put its environments into gymnasium's registry whichever is imported first,
    and no command waits for gymnasium that doesn't need it.

    Args:
        name: the module's full name.
        act: must bear to be called again, as it is when a plugin is reloaded.

    Returns:
        What ends the waiting.
    """
    waiting = _Waiting(name, act)
    module = sys.modules.get(name)
    if module is not None:
        act(module)
    else:
        sys.meta_path.insert(0, waiting)
    return waiting.end


def register_with_gymnasium(name: str, entry_point: str, **details: Any) -> None:
    """Make ``gymnasium.make("PACKAGE:NAME")`` find an environment, without importing gymnasium.

    Such a call imports PACKAGE, whose ``__init__`` calls this, and then looks the name up.
    Importing gymnasium there as well would cost every command a tenth of a second.

    Args:
        name: the environment's id, ``NAMESPACE/NAME-vVERSION``.
        entry_point: ``MODULE:CLASS``, imported when the environment is made.
        details: what else ``gymnasium.register`` takes, such as ``max_episode_steps``.
    """

    def register(registration: Any) -> None:
        if name not in registration.registry:
            registration.register(id=name, entry_point=entry_point, **details)

    when_imported("gymnasium.envs.registration", register)


def register_with_pettingzoo(name: str, entry_point: str, **arguments: Any) -> None:
    """Make ``pettingzoo.make("parallel", NAME)`` find an environment once PACKAGE is imported.

    PettingZoo has a registry since 1.27. Nothing is imported here, as for gymnasium.

    Args:
        name: the environment's id, ``NAMESPACE/NAME-vVERSION``.
        entry_point: ``MODULE:CLASS``, imported when the environment is made.
        arguments: what the class is called with, unless ``make`` says otherwise.
    """

    def register(registration: Any) -> None:
        if name not in registration.parallel_registry:
            registration.register("parallel", name, entry_point, kwargs=arguments)

    when_imported("pettingzoo.env_registry.registration", register)


class _Waiting(MetaPathFinder):
    """Finds the module as usual, and acts once it has been executed."""

    def __init__(self, name: str, act: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.act = act
        self._searching = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.name or self._searching:
            return None
        self._searching = True
        try:
            spec = find_spec(name)
        finally:
            self._searching = False
        loader: Any = None if spec is None else spec.loader
        if loader is None:
            return spec
        execute = loader.exec_module

        def execute_and_act(module: ModuleType) -> None:
            execute(module)
            if self.end():
                self.act(module)

        loader.exec_module = execute_and_act
        return spec

    def end(self) -> bool:
        """Wait no longer; returns whether it was still waiting."""
        if self not in sys.meta_path:
            return False
        sys.meta_path.remove(self)
        return True
