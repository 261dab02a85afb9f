"""The last H observations, stacked for policies that read a history."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch

from codi_core.planning import Observation


class History:
    """Keeps the last H observations.

    Args:
        length: H.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._entries: deque[Observation] = deque(maxlen=length)

    @classmethod
    def of(cls, entries: Sequence[Observation]) -> History:
        """A history that holds these H entries, oldest first."""
        history = cls(len(entries))
        history._entries.extend(entries)
        return history

    @property
    def entries(self) -> tuple[Observation, ...]:
        """The observations, named tensors (B, ...), oldest first."""
        return tuple(self._entries)

    def push(self, observation: Observation) -> None:
        """Append named tensors (B, ...); the first ones ever fill the whole history."""
        self._entries.append(observation)
        while len(self._entries) < self.length:
            self._entries.append(observation)

    def stacked(self) -> dict[str, torch.Tensor]:
        """Named tensors (B, H, ...), oldest first."""
        return {
            name: torch.stack([entry[name] for entry in self._entries], 1)
            for name in self._entries[-1]
        }
