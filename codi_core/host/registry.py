"""Registries: records by name, with the distribution that each comes from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from codi_core.errors import PluginError, UsageError
from codi_core.host.discovery import CORE
from codi_core.host.elsewhere import to_install
from codi_core.host.records import Record

R = TypeVar("R", bound=Record)


def nearest_first(name: str, valid: Iterable[str]) -> list[str]:
    """The valid names, the most similar to ``name`` first."""

    def similarity(other: str) -> float:
        return difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio()

    return sorted(valid, key=lambda other: (-similarity(other), other))


def unknown_name(kind: str, name: str, valid: Iterable[str], hint: str = "") -> UsageError:
    """The error for a name that is not registered; it lists the valid ones, nearest first."""
    names = nearest_first(name, valid)
    if not names:
        return UsageError(f"unknown {kind} '{name}': no installed plugin provides one{hint}")
    close = difflib.get_close_matches(name.lower(), [other.lower() for other in names], 1, 0.6)
    guess = f" did you mean '{names[0]}'?" if close else ""
    return UsageError(f"unknown {kind} '{name}';{guess} valid: {', '.join(names)}{hint}")


class Registry(Generic[R]):
    """Records of one kind by their names.

    A name that is registered more than once means nothing any more, unless ``codi-core`` is among
    those who registered it: its names stay its own.

    Args:
        kind: what the records are, in the singular, for messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.hint = ""
        self._records: dict[str, R] = {}
        self._origins: dict[str, list[str]] = {}
        self._disputed: dict[str, PluginError] = {}

    def __iter__(self) -> Iterator[R]:
        return iter(self._records.values())

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def __len__(self) -> int:
        return len(self._records)

    def names(self) -> tuple[str, ...]:
        """All names that can be asked for, in the order of registration."""
        return tuple(self._records)

    def origin(self, name: str) -> str:
        """The distribution that registered the name."""
        origins = self._origins[name]
        return CORE if CORE in origins else origins[0]

    def add(self, record: R, distribution: str) -> None:
        """Register a record.

        Raises:
            PluginError: the name was registered before; the message names all distributions.
        """
        origins = self._origins.setdefault(record.name, [])
        origins.append(distribution)
        if len(origins) == 1 or (distribution == CORE and origins.count(CORE) == 1):
            self._records[record.name] = record
            self._disputed.pop(record.name, None)
        elif CORE not in origins:
            self._records.pop(record.name, None)
            self._disputed[record.name] = self._conflict(record.name)
        if len(origins) > 1:
            raise self._conflict(record.name)

    def check_undisputed(self, name: str) -> None:
        """Check that a name was not registered by several distributions.

        Raises:
            PluginError: it was; the message names them.
        """
        if name in self._disputed:
            raise self._disputed[name]

    def get(self, name: str) -> R:
        """The record of that name.

        Raises:
            UsageError: there is none; the message lists the valid names, the nearest first, or
                says what to install.
            PluginError: several distributions have registered the name.
        """
        self.check_undisputed(name)
        try:
            return self._records[name]
        except KeyError:
            lacking = to_install(self.kind, name)
            if lacking is not None:
                raise UsageError(
                    f"{self.kind} '{name}' comes with {lacking}, which is not installed: "
                    f"pip install {lacking}"
                ) from None
            raise unknown_name(self.kind, name, self._records, self.hint) from None

    def _conflict(self, name: str) -> PluginError:
        *others, last = dict.fromkeys(self._origins[name])
        both = "both " if len(others) == 1 else ""
        listed = f"{both}{', '.join(map(repr, others))} and '{last}'" if others else f"'{last}'"
        twice = "" if others else " twice"
        what = f"{self.kind} '{name}' is registered{twice} by {listed}"
        if CORE in self._origins[name]:
            return PluginError(f"{what}: it is that of '{CORE}', rename the other {self.kind}")
        return PluginError(
            f"{what}, so that it means neither: uninstall one of them or rename its {self.kind}"
            if others
            else f"{what}, so that it means neither: rename one of them"
        )
