"""Acting on a module once it is imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from codi_core.host.late_import import (
    register_with_gymnasium,
    register_with_pettingzoo,
    when_imported,
)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module that nobody has imported."""
    (tmp_path / "imported_late.py").write_text("registry = []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delitem(sys.modules, "imported_late", raising=False)
    return "imported_late"


def enter(name: str) -> Callable[[ModuleType], None]:
    def act(module: ModuleType) -> None:
        module.registry.append(name)

    return act


def test_it_acts_at_once_on_a_module_that_is_there(module: str) -> None:
    made = importlib.import_module(module)
    when_imported(module, enter("now"))
    assert made.registry == ["now"]


def test_it_waits_for_the_import_and_imports_nothing_itself(module: str) -> None:
    finders = list(sys.meta_path)
    when_imported(module, enter("first"))
    when_imported(module, enter("second"))
    assert module not in sys.modules
    assert sorted(importlib.import_module(module).registry) == ["first", "second"]
    assert sys.meta_path == finders


def test_a_look_for_the_module_does_not_count_as_its_import(module: str) -> None:
    when_imported(module, enter("later"))
    assert find_spec(module) is not None
    assert importlib.import_module(module).registry == ["later"]


def test_a_module_that_never_comes_is_reported_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    when_imported("no_such_module_at_all", enter("never"))
    assert find_spec("no_such_module_at_all") is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module_at_all")


class Registry(ModuleType):
    """What is used of ``gymnasium.envs.registration``."""

    def __init__(self) -> None:
        super().__init__("gymnasium.envs.registration")
        self.registry: dict[str, dict[str, object]] = {}

    def register(self, **details: object) -> None:
        self.registry[str(details.pop("id"))] = details


def test_an_environment_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gymnasium = Registry()
    monkeypatch.setitem(sys.modules, gymnasium.__name__, gymnasium)
    for steps in (600, 700):  # the second call is that of a package that is reloaded
        register_with_gymnasium("codi/Test-v0", "package.env:Env", max_episode_steps=steps)
    assert gymnasium.registry == {
        "codi/Test-v0": {"entry_point": "package.env:Env", "max_episode_steps": 600}
    }


def test_an_environment_is_registered_with_pettingzoo_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pettingzoo = ModuleType("pettingzoo.env_registry.registration")
    found: dict[str, object] = {}
    pettingzoo.parallel_registry = found  # type: ignore[attr-defined]
    pettingzoo.register = lambda kind, name, point, kwargs: found.update(  # type: ignore[attr-defined]
        {name: (kind, point, kwargs)}
    )
    monkeypatch.setitem(sys.modules, pettingzoo.__name__, pettingzoo)
    for agents in (2, 3):
        register_with_pettingzoo("codi/Test-v0", "package.env:Env", agents=agents)
    assert found == {"codi/Test-v0": ("parallel", "package.env:Env", {"agents": 2})}


def test_waiting_can_end(module: str) -> None:
    finders = list(sys.meta_path)
    end = when_imported(module, enter("never"))
    end()
    assert sys.meta_path == finders
    assert importlib.import_module(module).registry == []
    end()
