"""What is demonstrated: the interface between the recorder and those who drive the robots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from codi_core.planning import Observation
from codi_navigation.maps.shapes import Map
from codi_navigation.simulation.contacts import Outcome
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team

BEGINNING = 4
"""Random numbers that a robot's heading and velocity at the start depend on."""


class Script(ABC):
    """What the robots of n demonstrations are to do.

    Attributes:
        team: the robots of one demonstration.
        maps: the obstacles of each.
    """

    team: Team
    maps: Sequence[Map]

    @abstractmethod
    def start(self, draws: Tensor) -> NavigationState:
        """The state that the demonstrations start from.

        Args:
            draws: (n, N, ``BEGINNING``), uniform on [0, 1).
        """

    @abstractmethod
    def act(self, state: NavigationState, draws: Tensor) -> Tensor:
        """The commands now, (n, N, 2).

        Args:
            state: of n worlds.
            draws: what decides about behaviours, (n, N, DRAWS), uniform on [0, 1).
        """

    @abstractmethod
    def follow(self, outcome: Outcome, draws: Tensor) -> NavigationState:
        """Draw the conclusions from what a control period did; returns the state to go on from.

        Args:
            outcome: of n worlds.
            draws: (n,), uniform on [0, 1).
        """

    @abstractmethod
    def frame(
        self, state: NavigationState, observation: Observation, commands: Tensor
    ) -> Mapping[str, Tensor]:
        """What is recorded of a step, (n, ...) by feature.

        Args:
            state: of n worlds, before the step.
            observation: the joint observation of it.
            commands: as the expert gives them, (n, N, 2).
        """

    def notes(self) -> Mapping[str, Tensor]:
        """What there is to say about each demonstration in the end, (n,) by name."""
        return {}


ScriptMaker = Callable[[Sequence[np.random.Generator]], Script]
"""Makes a script for n demonstrations, from one generator each."""


def random_velocities(kind: str, draws: Tensor, share: float) -> Tensor:
    """Velocities within the limits of a vehicle kind, (..., 2), from uniform numbers (..., 3).

    Args:
        kind: the vehicle kind.
        draws: on [0, 1).
        share: of those that move.
    """
    moves = (draws[..., 2:] < share).float()
    if kind == "unicycle":
        rates = torch.stack((1.3 * draws[..., 0] - 0.4, 4 * draws[..., 1] - 2), -1)
        return rates * moves
    angle, speed = 2 * torch.pi * draws[..., 1], draws[..., 0].sqrt()
    return torch.stack((speed * angle.cos(), speed * angle.sin()), -1) * moves
