"""How disks move for a control period when they may touch obstacles or one another.

A control period is simulated in ten substeps. A disk whose next place would overlap an obstacle or
another disk does not take it: it stops where it is, as bodies do that hit one another without
bouncing, and stays for the rest of the period. The next command drives it on from rest. So disks
never overlap, and one that pushes against something stays where it is. Nobody is pushed: a disk
that is hit stops as well, because it would overlap too.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team
from codi_navigation.vehicles.base import PERIOD, TOP_SPEED

SUBSTEPS = 10
_REACH = 2.2 * TOP_SPEED * PERIOD
"""[m] Disks whose rims are farther apart cannot touch in a period."""


@attrs.frozen(eq=False)
class Outcome:
    """What a control period did.

    Attributes:
        state: afterwards.
        robot_contact: (B, N), who touched another robot.
        obstacle_contact: (B, N), who touched an obstacle.
        closest: (B,), the least gap between two robots' rims on the way [m]; at least 0.
    """

    state: NavigationState
    robot_contact: Tensor
    obstacle_contact: Tensor
    closest: Tensor

    @property
    def valid(self) -> Tensor:
        """(B,) Whether a world's numbers are finite."""
        pose = torch.cat((self.state.pose, self.state.velocity.movedim(-1, 0)))
        return torch.isfinite(pose).all(0).all(-1)

    def of_worlds(self, rows: Tensor) -> Outcome:
        """That of some worlds, chosen by their numbers (b,)."""
        return Outcome(
            self.state.of_worlds(rows),
            self.robot_contact[rows],
            self.obstacle_contact[rows],
            self.closest[rows],
        )

    def after(self, earlier: Outcome) -> Outcome:
        """The same with the contacts of the time before."""
        return Outcome(
            self.state,
            self.robot_contact | earlier.robot_contact,
            self.obstacle_contact | earlier.obstacle_contact,
            torch.minimum(self.closest, earlier.closest),
        )

    def replaced(self, rows: Tensor, other: Outcome) -> Outcome:
        """The same with the worlds of ``other`` in place of those numbered ``rows``, (b,)."""
        return Outcome(
            self.state.replaced(rows, other.state),
            self.robot_contact.index_copy(0, rows, other.robot_contact),
            self.obstacle_contact.index_copy(0, rows, other.obstacle_contact),
            self.closest.index_copy(0, rows, other.closest),
        )


@attrs.frozen(eq=False)
class _Pairs:
    """Robots that may touch: one entry a pair, with rows of (B·N) for its members."""

    world: Tensor
    first: Tensor
    second: Tensor
    reach: Tensor

    def gaps(self, pose: Tensor) -> Tensor:
        """The gaps between rims [m], from poses (3, B, N)."""
        x, y = pose[0].flatten(), pose[1].flatten()
        return (
            torch.hypot(x[self.first] - x[self.second], y[self.first] - y[self.second]) - self.reach
        )


def drive(state: NavigationState, team: Team, commands: Tensor) -> Outcome:
    """Move all robots for one control period.

    Args:
        state: B worlds.
        team: the robots' kinds.
        commands: (B, N, 2).
    """
    start = state.velocity.movedim(-1, 0)
    velocity = team.respond(start, commands.movedim(-1, 0).unsqueeze(0))[0]
    pairs, closest = _near_pairs(state)
    pose, stopped = state.pose, torch.zeros_like(state.heading, dtype=torch.bool)
    robot_contact, obstacle_contact = stopped.clone(), stopped.clone()
    for _ in range(SUBSTEPS):
        held = velocity.masked_fill(stopped, 0.0)
        proposed = team.move(pose, held.unsqueeze(0), PERIOD / SUBSTEPS)[0]
        hits = (state.maps.distance(proposed[:2].movedim(0, -1)) < state.radius) & ~stopped
        obstacle_contact |= hits
        pose, stopped, touching = _apart(pose, proposed, stopped | hits, pairs)
        robot_contact |= touching
        if len(pairs.world):
            closest.scatter_reduce_(0, pairs.world, pairs.gaps(pose), "amin")
    moved = attrs.evolve(
        state,
        position=pose[:2].movedim(0, -1),
        heading=pose[2],
        velocity=velocity.masked_fill(stopped, 0.0).movedim(0, -1),
    )
    closest = torch.where(robot_contact.any(-1), 0.0, closest)
    return Outcome(moved, robot_contact, obstacle_contact, closest)


def _apart(
    before: Tensor, proposed: Tensor, stopped: Tensor, pairs: _Pairs
) -> tuple[Tensor, Tensor, Tensor]:
    """Stop disks that would overlap, until none does.

    Each round stops at least one more disk, and disks that have all stopped do not overlap.
    """
    touching = torch.zeros_like(stopped)
    while True:
        pose = torch.where(stopped, before, proposed)
        overlapping = pairs.gaps(pose) < 0
        touching.view(-1)[pairs.first[overlapping]] = True
        touching.view(-1)[pairs.second[overlapping]] = True
        if not bool((touching & ~stopped).any()):
            return pose, stopped, touching
        stopped = stopped | touching


def _near_pairs(state: NavigationState) -> tuple[_Pairs, Tensor]:
    """The pairs that may touch in the coming period, and the least gap (B,) now."""
    robots = state.robots
    first, second = torch.triu_indices(robots, robots, 1, device=state.position.device)
    x, y, radius = state.position[..., 0], state.position[..., 1], state.radius
    reach = radius[:, first] + radius[:, second]
    gap = torch.hypot(x[:, first] - x[:, second], y[:, first] - y[:, second]) - reach
    world, pair = torch.nonzero(gap < _REACH, as_tuple=True)
    near = _Pairs(
        world, world * robots + first[pair], world * robots + second[pair], reach[world, pair]
    )
    closest = gap.amin(-1) if len(first) else torch.full_like(x[:, 0], torch.inf)
    return near, closest
