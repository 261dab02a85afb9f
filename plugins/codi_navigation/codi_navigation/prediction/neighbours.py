"""Which robots can meet within a chunk: by SciPy's k-d tree, or on a GPU by sorting distances."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from codi_core.resources import can_branch_on
from codi_navigation.state import NavigationState

_WORLDS_APART = 1e6
"""[m] Worlds are stacked along a third axis, so that one tree serves all of them."""


@attrs.frozen(eq=False)
class Pairs:
    """P pairs of robots, one entry each; a robot's row is its world times N plus its index.

    On the CPU there are as many entries as pairs. Elsewhere their number may not depend on where
    robots are, and there is an entry for each neighbour that a robot can have. Entries that no pair
    needs hold one robot twice and reach nowhere: whatever a cost makes of rims that are nearer than
    some distance, or of a negative gap, is nothing for them.

    Attributes:
        world: (P,) int64.
        members: (P, 2) int64, the robots' indices, the lower one first.
        rows: (P, 2) int64, their rows in tensors whose first two axes were flattened to B·N.
        reach: (P,), the sum of their radii [m], or -inf for an entry that is no pair.
    """

    world: Tensor
    members: Tensor
    rows: Tensor
    reach: Tensor

    def __len__(self) -> int:
        return len(self.world)

    def that_involve(self, robots: Tensor) -> Pairs:
        """Those of which one member at least is among some robots, booleans (B, N).

        All where looking would mean to wait for a device.
        """
        if not can_branch_on(robots):
            return self
        chosen = robots.flatten()[self.rows].any(-1).nonzero().squeeze(-1)
        fields = self.world, self.members, self.rows, self.reach
        return Pairs(*(field.index_select(0, chosen) for field in fields))


def neighbours(state: NavigationState, reach: float, most: int) -> Pairs:
    """The pairs whose rims are nearer than ``reach`` [m].

    They are the same on all devices, in another order.

    Args:
        state: B worlds.
        reach: two robots farther apart than that do not count.
        most: of its neighbours, only the nearest ones count for a robot, and of equally near ones
            those with lower indices: those behind them are screened by them. A pair counts if it
            does for one of its members.
    """
    if can_branch_on(state.position):
        return _found_by_tree(state, reach, most)
    return _found_by_sorting(state, reach, most)


def _found_by_tree(state: NavigationState, reach: float, most: int) -> Pairs:
    robots = state.robots
    place = state.position.detach().double().numpy()
    radius = state.radius.detach().numpy()
    world = np.broadcast_to(np.arange(state.worlds)[:, None, None], (*place.shape[:2], 1))
    points = np.concatenate((place, world * _WORLDS_APART), -1).reshape(-1, 3)
    count = min(most + 1, robots)  # everybody's nearest is itself
    bound = reach + 2 * float(radius.max())
    # One more than is wanted shows which ones are as near as the last that is.
    gaps, found = cKDTree(points).query(
        points, k=list(range(1, min(count + 1, robots) + 1)), distance_upper_bound=bound
    )
    if count < robots:
        tied = np.flatnonzero((gaps[:, -1] == gaps[:, -2]) & np.isfinite(gaps[:, -1]))
        found = found[:, :count]
        found[tied] = _nearest(points, tied, robots, count)
    rows = np.stack((np.repeat(np.arange(len(points)), count), found.ravel()), -1)
    rows = rows[(rows[:, 1] < len(points)) & (rows[:, 0] != rows[:, 1])]
    rows = np.unique(np.sort(rows, 1), axis=0)
    sums = radius.reshape(-1)[rows].sum(1)
    near = np.linalg.norm(points[rows[:, 0]] - points[rows[:, 1]], axis=-1) - sums < reach
    both = torch.from_numpy(rows[near])
    sums = torch.from_numpy(sums[near]).to(state.radius)
    return Pairs(both[:, 0] // robots, both % robots, both, sums)


def _nearest(
    points: NDArray[np.float64], rows: NDArray[np.int64], robots: int, count: int
) -> NDArray[np.int64]:
    """The nearest points of the own world, itself first, of some rows: (n, count)."""
    first = rows // robots * robots
    world = first[:, None] + np.arange(robots)
    squared = np.square(points[world] - points[rows][:, None]).sum(-1)
    squared[np.arange(len(rows)), rows - first] = -1.0
    order = squared.argsort(1, kind="stable")[:, :count]
    return np.take_along_axis(world, order, 1)


def _found_by_sorting(state: NavigationState, reach: float, most: int) -> Pairs:
    """The same where only sizes are known, with numbers of B·N·N for a moment.

    Robots have an entry for each of their ``most`` nearest others. A pair has that of its lower
    member, or of the higher one if it counts for that one only.
    """
    worlds, robots = state.worlds, state.robots
    x, y = state.position.detach().double().unbind(-1)
    x, y = x.unsqueeze(2) - x.unsqueeze(1), y.unsqueeze(2) - y.unsqueeze(1)
    squared = x.square() + y.square()
    squared.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    count = min(most, robots - 1)
    order = squared.sort(dim=-1, stable=True)
    squared, other = order.values[..., :count], order.indices[..., :count]  # (B, N, count)
    radius = state.radius.detach()
    sums = radius.unsqueeze(-1) + radius.gather(1, other.flatten(1)).view_as(other)
    own = torch.arange(robots, device=other.device).view(1, -1, 1)
    lists = other.gather(1, other.flatten(1).unsqueeze(-1).expand(-1, -1, count))
    listed = (torch.unflatten(lists, 1, (robots, count)) == own.unsqueeze(-1)).any(-1)
    counts = (squared.sqrt() - sums < reach) & ((own < other) | ~listed)
    second = torch.where(counts, other, own)
    members = torch.stack((torch.minimum(own, second), torch.maximum(own, second)), -1)
    world = torch.arange(worlds, device=other.device).view(-1, 1, 1).expand_as(other)
    rows = members + robots * world.unsqueeze(-1)
    return Pairs(
        world.flatten(),
        members.flatten(0, 2),
        rows.flatten(0, 2),
        torch.where(counts, sums, -torch.inf).flatten(),
    )
