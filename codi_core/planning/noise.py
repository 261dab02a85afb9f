"""Noise that belongs to an episode, not to a batch.

Each world owns one random stream, derived from (seed, episode, replan). A world therefore gets
the same noise whether it is planned alone or with others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning.streams import streams_on

StreamKey = tuple[int, int, int]
"""(seed, episode, replan): what the noise of one world's plan derives from.

What else is drawn at random for an episode has the number of a named :func:`stream` instead of a
replan's.
"""

FIRST_STREAM = 2**31
"""Numbers from here on belong to named streams; nobody replans that often."""

_NAMED = {
    "sensor noise": FIRST_STREAM,
    "start": FIRST_STREAM + 1,
    "problem": FIRST_STREAM + 2,
    "demonstration": FIRST_STREAM + 3,
}
_names = {number: name for name, number in _NAMED.items()}


def stream(name: str) -> int:
    """The number of a random stream for what its name says, to stand in a key for the replan.

    The same name has the same number in each process and version. A plugin puts its own name
    before it: "codi-warehouse orders".

    Raises:
        SpecificationError: another name, used before, has the same number.
    """
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    hashed = FIRST_STREAM + len(_NAMED) + digest % (2**32 - FIRST_STREAM - len(_NAMED))
    number = _NAMED.get(name, hashed)
    if _names.setdefault(number, name) != name:
        raise SpecificationError(
            f"the random streams '{name}' and '{_names[number]}' would be one: rename one of them"
        )
    return number


class NoiseSource:
    """Standard normal noise for B worlds, one stream for each.

    Args:
        keys: one (seed, episode, replan) key per world.
        device: where the noise is made and used.
    """

    def __init__(self, keys: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._streams = streams_on(keys, self.device)

    @property
    def worlds(self) -> int:
        """The number of worlds B."""
        return self._streams.worlds

    def normal(self, *shape: int) -> Tensor:
        """Draw independent standard normal values, shape (B, *shape), float32."""
        return self._streams.normal(shape)

    def uniform(self, *shape: int) -> Tensor:
        """Draw independent values uniform on [0, 1), shape (B, *shape), float32."""
        return self._streams.uniform(shape)

    def of_worlds(self, worlds: Sequence[int]) -> NoiseSource:
        """The noise of some worlds alone, from where their streams are.

        Args:
            worlds: their numbers. Here, they are drawn from no more.
        """
        part = NoiseSource([], self.device)
        part._streams = self._streams.of_worlds(worlds)
        return part

    def replace(self, worlds: Sequence[int], others: NoiseSource) -> None:
        """Let some worlds draw from the streams of another source from now on.

        Args:
            worlds: their numbers.
            others: one stream for each of them, on the same device. It is drawn from no more.
        """
        self._streams.replace(worlds, others._streams)

    def only(self, worlds: Tensor) -> AbstractContextManager[None]:
        """Inside, draw for some worlds only: (B,) booleans. The others get zeros.

        What is computed for some worlds of a batch must leave the streams of the rest alone.
        """
        return self._streams.only(worlds)
