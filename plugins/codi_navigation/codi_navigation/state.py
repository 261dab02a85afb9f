"""The typed state estimate of a team, which environment, predictor and costs exchange."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_navigation.maps.shapes import Maps
from codi_navigation.routing import Routes


@attrs.frozen(eq=False)
class NavigationState:
    """B worlds with N robots, SI units, world frame; each world has its own map and goals.

    Attributes:
        position: (B, N, 2) [m].
        heading: (B, N) [rad], anticlockwise from the world's x axis; 0 for a holonomic robot.
        velocity: (B, N, 2), as the robot is commanded: [m/s, m/s] along the world's axes for a
            holonomic robot, forward [m/s] and turning [rad/s] for a unicycle.
        radius: (B, N) [m].
        maps: the obstacles.
        routes: the robots' goals, and how far it is to them.
    """

    position: Tensor
    heading: Tensor
    velocity: Tensor
    radius: Tensor
    maps: Maps
    routes: Routes

    @property
    def worlds(self) -> int:
        """The number of worlds B."""
        return self.position.shape[0]

    @property
    def robots(self) -> int:
        """The number of robots N."""
        return self.position.shape[1]

    def of_worlds(self, rows: Tensor) -> NavigationState:
        """The state of some worlds, chosen by their numbers (b,)."""
        return NavigationState(
            position=self.position[rows],
            heading=self.heading[rows],
            velocity=self.velocity[rows],
            radius=self.radius[rows],
            maps=self.maps.of_worlds(rows),
            routes=self.routes.of_worlds(rows),
        )

    def alone(self) -> NavigationState:
        """Each robot in a world of its own: B·N worlds, those of one world in a row."""
        rows = torch.arange(self.worlds, device=self.radius.device)
        return NavigationState(
            position=self.position.flatten(0, 1).unsqueeze(1),
            heading=self.heading.flatten().unsqueeze(1),
            velocity=self.velocity.flatten(0, 1).unsqueeze(1),
            radius=self.radius.flatten().unsqueeze(1),
            maps=self.maps.of_worlds(rows.repeat_interleave(self.robots)),
            routes=self.routes.alone(),
        )

    def replaced(self, rows: Tensor, other: NavigationState) -> NavigationState:
        """The same with the worlds of ``other`` in place of those numbered ``rows``, (b,)."""
        return NavigationState(
            position=self.position.index_copy(0, rows, other.position),
            heading=self.heading.index_copy(0, rows, other.heading),
            velocity=self.velocity.index_copy(0, rows, other.velocity),
            radius=self.radius.index_copy(0, rows, other.radius),
            maps=self.maps.replaced(rows, other.maps),
            routes=self.routes.replaced(rows, other.routes),
        )

    def to(self, device: str | torch.device, dtype: torch.dtype) -> NavigationState:
        """The same state on a device, with floating-point numbers of a type."""
        return NavigationState(
            position=self.position.to(device, dtype),
            heading=self.heading.to(device, dtype),
            velocity=self.velocity.to(device, dtype),
            radius=self.radius.to(device, dtype),
            maps=self.maps.to(device, dtype),
            routes=self.routes.to(device, dtype),
        )

    @property
    def pose(self) -> Tensor:
        """Where the robots are, (3, B, N): x [m], y [m], heading [rad]."""
        return torch.cat((self.position.movedim(-1, 0), self.heading.unsqueeze(0)))
