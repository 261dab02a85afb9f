"""Which robots can meet within a chunk, found with SciPy's k-d tree."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from codi_navigation.state import NavigationState

_WORLDS_APART = 1e6
"""[m] Worlds are stacked along a third axis, so that one tree serves all of them."""


@attrs.frozen(eq=False)
class Pairs:
    """P pairs of robots, one entry each; a robot's row is its world times N plus its index.

    Attributes:
        world: (P,) int64.
        members: (P, 2) int64, the robots' indices, the lower one first.
        rows: (P, 2) int64, their rows in tensors whose first two axes were flattened to B·N.
        reach: (P,), the sum of their radii [m].
    """

    world: Tensor
    members: Tensor
    rows: Tensor
    reach: Tensor

    def __len__(self) -> int:
        return len(self.world)


def neighbours(state: NavigationState, reach: float, most: int) -> Pairs:
    """The pairs whose rims are nearer than ``reach`` [m].

    SciPy searches on the host, whatever the device of the state; what it finds goes back there.

    Args:
        state: B worlds.
        reach: two robots farther apart than that do not count.
        most: of its neighbours, only the nearest ones count for a robot: those behind them are
            screened by them. A pair counts if it does for one of its members.
    """
    robots = state.robots
    place = state.position.detach().cpu().double().numpy()
    radius = state.radius.detach().cpu().numpy()
    world = np.broadcast_to(np.arange(state.worlds)[:, None, None], (*place.shape[:2], 1))
    points = np.concatenate((place, world * _WORLDS_APART), -1).reshape(-1, 3)
    count = min(most + 1, robots)
    bound = reach + 2 * float(radius.max())
    _, found = cKDTree(points).query(
        points, k=list(range(1, count + 1)), distance_upper_bound=bound
    )
    rows = np.stack((np.repeat(np.arange(len(points)), count), found.ravel()), -1)
    rows = rows[(rows[:, 1] < len(points)) & (rows[:, 0] != rows[:, 1])]
    rows = np.unique(np.sort(rows, 1), axis=0)
    sums = radius.reshape(-1)[rows].sum(1)
    near = np.linalg.norm(points[rows[:, 0]] - points[rows[:, 1]], axis=-1) - sums < reach
    rows, device = rows[near], state.position.device
    both = torch.from_numpy(rows).to(device)
    sums = torch.from_numpy(sums[near]).to(state.radius)
    return Pairs(both[:, 0] // robots, both % robots, both, sums)
