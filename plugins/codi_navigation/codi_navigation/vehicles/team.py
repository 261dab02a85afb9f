"""Robots of one or of several kinds that move together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from codi_navigation.vehicles.base import Vehicle
from codi_navigation.vehicles.holonomic import Holonomic
from codi_navigation.vehicles.unicycle import Unicycle

VEHICLES: Mapping[str, Vehicle] = {"holonomic": Holonomic(), "unicycle": Unicycle()}
"""The vehicle kinds by name."""

MIXED = "mixed"
"""Says that kinds alternate in a team: even robots are holonomic, odd ones unicycles."""


class Team:
    """N robots, each of a kind.

    Args:
        kinds: the name of each robot's kind.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)
        self.names = tuple(f"robot{number}" for number in range(len(self.kinds)))
        self._rows = {
            kind: torch.tensor([row for row, other in enumerate(self.kinds) if other == kind])
            for kind in dict.fromkeys(self.kinds)
        }
        self._back = torch.cat(list(self._rows.values())).argsort()

    @classmethod
    def of(cls, vehicle: str, count: int) -> Team:
        """``count`` robots of one kind, or of both in turn for ``mixed``."""
        if vehicle == MIXED:
            return cls([list(VEHICLES)[number % 2] for number in range(count)])
        return cls([vehicle] * count)

    def __len__(self) -> int:
        return len(self.kinds)

    def respond(self, velocity: Tensor, commands: Tensor) -> Tensor:
        """As :meth:`Vehicle.respond`, each robot as its kind does.

        Args:
            velocity: (2, B, N, ...).
            commands: (K, 2, B, N, ...).
        """
        if len(self._rows) == 1:
            return VEHICLES[self.kinds[0]].respond(velocity, commands)
        parts = [
            VEHICLES[kind].respond(_rows(velocity, rows, 2), _rows(commands, rows, 3))
            for kind, rows in self._rows.items()
        ]
        return self._joined(parts)

    def move(self, pose: Tensor, velocities: Tensor, seconds: float) -> Tensor:
        """As :meth:`Vehicle.move`, each robot as its kind does.

        Args:
            pose: (3, B, N, ...).
            velocities: (K, 2, B, N, ...).
            seconds: how long each of them is held.
        """
        if len(self._rows) == 1:
            return VEHICLES[self.kinds[0]].move(pose, velocities, seconds)
        parts = [
            VEHICLES[kind].move(_rows(pose, rows, 2), _rows(velocities, rows, 3), seconds)
            for kind, rows in self._rows.items()
        ]
        return self._joined(parts)

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts), 3).index_select(3, self._back.to(parts[0].device))


def _rows(values: Tensor, rows: Tensor, axis: int) -> Tensor:
    return values.index_select(axis, rows.to(values.device))
