"""Noise that belongs to an episode, not to a batch.

Each world owns one random stream, derived from (seed, episode, replan). A world therefore gets
the same noise whether it is planned alone or with others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from codi_core.errors import SpecificationError

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


def _generator(key: Sequence[int], device: torch.device) -> torch.Generator:
    # SeedSequence mixes the key, so that neighbouring episodes have unrelated streams. PyTorch's
    # generator on the CPU keeps 32 bits of the seed, the one on CUDA all 64.
    state = np.random.SeedSequence([part % 2**32 for part in key]).generate_state(2, np.uint32)
    generator = torch.Generator(device=device)
    generator.manual_seed(int(state[0]) << 32 | int(state[1]))
    return generator


class NoiseSource:
    """Standard normal noise for B worlds, one stream for each.

    Args:
        keys: one (seed, episode, replan) key per world.
        device: where the noise is made and used.
    """

    def __init__(self, keys: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._generators = [_generator(key, self.device) for key in keys]
        self._drawing = [True] * len(self._generators)

    @property
    def worlds(self) -> int:
        """The number of worlds B."""
        return len(self._generators)

    def normal(self, *shape: int) -> Tensor:
        """Draw independent standard normal values, shape (B, *shape), float32."""
        return self._fill(shape, "normal_")

    def uniform(self, *shape: int) -> Tensor:
        """Draw independent values uniform on [0, 1), shape (B, *shape), float32."""
        return self._fill(shape, "uniform_")

    def replace(self, worlds: Sequence[int], others: NoiseSource) -> None:
        """Let some worlds draw from the streams of another source from now on.

        Args:
            worlds: their numbers.
            others: one stream for each of them.
        """
        for world, generator in zip(worlds, others._generators, strict=True):
            self._generators[world] = generator

    @contextmanager
    def only(self, worlds: Tensor) -> Iterator[None]:
        """Inside, draw for some worlds only: (B,) booleans. The others get zeros.

        What is computed for some worlds of a batch must leave the streams of the rest alone.
        """
        before = self._drawing
        self._drawing = [bool(draws) for draws in worlds.tolist()]
        try:
            yield
        finally:
            self._drawing = before

    def _fill(self, shape: tuple[int, ...], kind: str) -> Tensor:
        make = torch.empty if all(self._drawing) else torch.zeros
        out = make((self.worlds, *shape), device=self.device)
        # The loop is over worlds, never over samples: one fill draws all samples of a world.
        for row, generator, draws in zip(out, self._generators, self._drawing, strict=True):
            if draws:
                getattr(row, kind)(generator=generator)
        return out
