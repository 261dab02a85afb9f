"""Robots of one or of several kinds that move together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import attrs
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

    @classmethod
    def of(cls, vehicle: str, count: int) -> Team:
        """``count`` robots of one kind, or of both in turn for ``mixed``."""
        if vehicle == MIXED:
            return cls([list(VEHICLES)[number % 2] for number in range(count)])
        return cls([vehicle] * count)

    @property
    def turning_round(self) -> tuple[float, ...]:
        """:attr:`Vehicle.turning_round` of each robot [s]."""
        return tuple(VEHICLES[kind].turning_round for kind in self.kinds)

    def __len__(self) -> int:
        return len(self.kinds)

    def respond(self, velocity: Tensor, commands: Tensor) -> Tensor:
        """As :meth:`Vehicle.respond`, each robot as its kind does.

        Args:
            velocity: (2, B, N, ...).
            commands: (K, 2, B, N, ...).
        """
        if len(set(self.kinds)) == 1:
            return VEHICLES[self.kinds[0]].respond(velocity, commands)
        order = _order(self.kinds, commands.device)
        return order.joined(
            VEHICLES[kind].respond(velocity.index_select(2, rows), commands.index_select(3, rows))
            for kind, rows in order.rows.items()
        )

    def move(self, pose: Tensor, velocities: Tensor, seconds: float) -> Tensor:
        """As :meth:`Vehicle.move`, each robot as its kind does.

        Args:
            pose: (3, B, N, ...).
            velocities: (K, 2, B, N, ...).
            seconds: how long each of them is held.
        """
        if len(set(self.kinds)) == 1:
            return VEHICLES[self.kinds[0]].move(pose, velocities, seconds)
        order = _order(self.kinds, velocities.device)
        return order.joined(
            VEHICLES[kind].move(
                pose.index_select(2, rows), velocities.index_select(3, rows), seconds
            )
            for kind, rows in order.rows.items()
        )


@attrs.frozen(eq=False)
class _Order:
    """Where the robots of each kind stand in a team, on one device.

    Attributes:
        rows: their numbers, by kind.
        back: from the kinds one after another to the team's order.
    """

    rows: Mapping[str, Tensor]
    back: Tensor

    def joined(self, parts: Iterable[Tensor]) -> Tensor:
        """One tensor in the team's order, of one part a kind; robots are axis 3."""
        return torch.cat(list(parts), 3).index_select(3, self.back)


@lru_cache
@torch.inference_mode(False)  # it outlives the plan that asks first
def _order(kinds: tuple[str, ...], device: torch.device) -> _Order:
    rows = {
        kind: torch.tensor([row for row, other in enumerate(kinds) if other == kind])
        for kind in dict.fromkeys(kinds)
    }
    back = torch.cat(list(rows.values())).argsort()
    return _Order({kind: row.to(device) for kind, row in rows.items()}, back.to(device))
