"""The simulator of all navigation tasks: disks that drive, and stop where they would overlap."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.tasks import Simulator
from codi_navigation.simulation.contacts import Outcome, drive
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team


class NavigationSimulator(Simulator):
    """B worlds of N robots, on any device.

    A physics step is a control period of 0.1 s; its targets are commands (b, N, 2).

    Args:
        team: the robots' kinds.
        state: where all worlds start; the tensors are on its device.
    """

    def __init__(self, team: Team, state: NavigationState) -> None:
        self.team = team
        self.device, self.copies = str(state.position.device), state.worlds
        self._now = _at_first(state)

    def set_state(self, state: NavigationState, rows: Tensor | None = None) -> None:
        """Put some worlds into states (see the base class); maps and goals come along."""
        outcome = _at_first(state)
        self._now = outcome if rows is None else self._now.replaced(rows.to(self.device), outcome)

    def step(self, targets: Tensor, count: int, rows: Tensor | None = None) -> Outcome:
        """Follow the same commands for some control periods (see the base class)."""
        chosen = None if rows is None else rows.to(self.device)
        now = self._now if chosen is None else self._now.of_worlds(chosen)
        for number in range(count):
            later = drive(now.state, self.team, targets)
            now = later if number == 0 else later.after(now)
        self._now = now if chosen is None else self._now.replaced(chosen, now)
        return now

    def look(self) -> Outcome:
        """What all worlds look like now."""
        return self._now


def _at_first(state: NavigationState) -> Outcome:
    nobody = torch.zeros_like(state.heading, dtype=torch.bool)
    return Outcome(state, nobody, nobody, least_gap(state))


def least_gap(state: NavigationState) -> Tensor:
    """The least gap between the rims of two robots, (B,) [m]."""
    gap = torch.cdist(state.position, state.position)
    gap = gap - state.radius.unsqueeze(1) - state.radius.unsqueeze(2)
    itself = torch.eye(state.robots, dtype=torch.bool, device=gap.device)
    return gap.masked_fill(itself, torch.inf).flatten(1).amin(-1)
