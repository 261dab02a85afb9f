"""Where factors stand in flat joint chunks, and how those that share a policy are stacked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Columns:
    """The columns of G of all F factors, all of the same width n.

    Where all factors are equally wide, no loop over them is needed.

    Args:
        blocks: the columns of each of F factors; they follow one another.
        members: the numbers of the G factors.
    """

    def __init__(self, blocks: Sequence[slice], members: tuple[int, ...]) -> None:
        self.blocks = tuple(blocks)
        self.members = members
        self.even = len({block.stop - block.start for block in blocks}) == 1
        self.whole = self.even and members == tuple(range(len(blocks)))
        self._rows = torch.tensor(members)

    def stacked(self, flat: Tensor) -> Tensor:
        """From flat joint chunks (..., D) to (G, ..., n)."""
        if not self.even:
            return torch.stack([flat[..., self.blocks[index]] for index in self.members])
        parts = torch.unflatten(flat, -1, (len(self.blocks), -1)).movedim(-2, 0)
        return parts if self.whole else parts.index_select(0, self._rows.to(flat.device))


def joined(groups: Sequence[Columns], parts: Sequence[Tensor]) -> Tensor:
    """Flat joint chunks (..., D) from the parts (G, ..., n) of groups that cover all factors."""
    if groups[0].whole:
        return parts[0].movedim(0, -2).flatten(-2)
    rows: dict[int, Tensor] = {}
    for group, part in zip(groups, parts, strict=True):
        rows.update(zip(group.members, part, strict=True))
    return torch.cat([rows[index] for index in range(len(rows))], -1)
