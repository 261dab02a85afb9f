"""The last H observations, stacked for policies that read a history."""

from __future__ import annotations

from collections import deque

import torch

from codi_core.planning import Observation


class History:
    """Keeps the last H observations.

    Args:
        length: H.
    """

    def __init__(self, length: int) -> None:
        self._entries: deque[Observation] = deque(maxlen=length)

    def push(self, observation: Observation) -> None:
        """Append named tensors (B, ...); the first ones ever fill the whole history."""
        self._entries.append(observation)
        while len(self._entries) < (self._entries.maxlen or 0):
            self._entries.append(observation)

    def stacked(self) -> dict[str, torch.Tensor]:
        """Named tensors (B, H, ...), oldest first."""
        return {
            name: torch.stack([entry[name] for entry in self._entries], 1)
            for name in self._entries[-1]
        }

    def copy(self) -> History:
        """An independent copy, for looking ahead."""
        twin = History(self._entries.maxlen or 1)
        twin._entries.extend(self._entries)
        return twin
