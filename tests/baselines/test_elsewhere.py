"""The hint for those who lack a distribution of this project."""

from __future__ import annotations

from importlib import metadata

import pytest

from codi_core.errors import UsageError
from codi_core.host import elsewhere
from codi_core.host.plugins import KINDS, load_plugins
from codi_core.host.records import Record
from codi_core.host.registry import Registry


def registered(distribution: str) -> dict[str, set[str]]:
    """What a distribution registers, by what one is called, but for commands and costs."""
    host = load_plugins()
    named: dict[str, set[str]] = {}
    for plugin in host.plugins:
        if plugin.distribution == distribution:
            for key, names in plugin.registered.items():
                named.setdefault(KINDS[key][0], set()).update(names)
    return named


@pytest.mark.parametrize("distribution", list(elsewhere.BROUGHT_BY))
def test_the_hints_are_what_the_distributions_register(distribution: str) -> None:
    names = registered(distribution)
    for kind, known in elsewhere.BROUGHT_BY[distribution].items():
        assert set(known) == names[kind]


def test_who_lacks_a_distribution_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    methods: Registry[Record] = Registry("method")
    with pytest.raises(UsageError, match="unknown method 'codi-joint'"):
        methods.get("codi-joint")  # it is installed here, and merely not registered
    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(UsageError, match=r"comes with codi-baselines, .* pip install codi-base"):
        methods.get("codi-joint")
    with pytest.raises(UsageError, match="unknown method 'codi-joined'"):
        methods.get("codi-joined")
