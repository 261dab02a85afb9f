"""Registries: records by name, with the distribution that each comes from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from codi_core.errors import PluginError, UsageError
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

    Args:
        kind: what the records are, in the singular, for messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.hint = ""
        self._records: dict[str, R] = {}
        self._origins: dict[str, str] = {}

    def __iter__(self) -> Iterator[R]:
        return iter(self._records.values())

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def __len__(self) -> int:
        return len(self._records)

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        return tuple(self._records)

    def origin(self, name: str) -> str:
        """The distribution that registered the name."""
        return self._origins[name]

    def add(self, record: R, distribution: str) -> None:
        """Register a record.

        Raises:
            PluginError: the name is taken; the message names both distributions.
        """
        taken_by = self._origins.get(record.name)
        if taken_by is not None:
            raise PluginError(
                f"{self.kind} '{record.name}' is registered by both '{taken_by}' and "
                f"'{distribution}': uninstall one of them or rename its {self.kind}"
            )
        self._records[record.name] = record
        self._origins[record.name] = distribution

    def get(self, name: str) -> R:
        """The record of that name.

        Raises:
            UsageError: there is none; the message lists the valid names, the nearest first.
        """
        try:
            return self._records[name]
        except KeyError:
            raise unknown_name(self.kind, name, self._records, self.hint) from None
