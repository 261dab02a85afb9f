"""The random streams behind a noise source: one a world, each from its own key.

On the CPU a world's stream is a generator of PyTorch. On CUDA that would be a kernel a world, so
there all worlds' numbers come from the SplitMix64 generator (Steele, Lea and Flood, 2014) in a few
kernels: its k-th number is a function of the key and of k alone.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from torch import Tensor


def seed_of(key: Sequence[int]) -> int:
    """64 bits for a key; those of neighbouring keys are unrelated."""
    state = np.random.SeedSequence([part % 2**32 for part in key]).generate_state(2, np.uint32)
    return int(state[0]) << 32 | int(state[1])


class Streams(ABC):
    """B random streams. What one gives depends on its key and on how much it gave before."""

    @property
    @abstractmethod
    def worlds(self) -> int:
        """The number of streams B."""

    @abstractmethod
    def normal(self, shape: Sequence[int]) -> Tensor:
        """Independent standard normal values, (B, *shape), float32."""

    @abstractmethod
    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Independent values uniform on [0, 1), (B, *shape), float32."""

    @abstractmethod
    def of_worlds(self, worlds: Sequence[int]) -> Streams:
        """Streams of some worlds alone, which begin where theirs are; these are drawn no more."""

    @abstractmethod
    def replace(self, worlds: Sequence[int], others: Streams) -> None:
        """Go on with another's streams, of the same kind, in some worlds."""

    @abstractmethod
    def only(self, worlds: Tensor) -> AbstractContextManager[None]:
        """A context in which the worlds (B,) that are False get zeros and keep their streams."""


def streams_on(keys: Sequence[Sequence[int]], device: torch.device) -> Streams:
    """The kind of streams that is the fastest on a device."""
    seeds = [seed_of(key) for key in keys]
    if device.type == "cuda":
        return CounterStreams(seeds, device)
    return GeneratorStreams(seeds, device)


class GeneratorStreams(Streams):
    """A generator of PyTorch for each world.

    Args:
        seeds: 64 bits for each world.
        device: where the numbers are made.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.device = device
        # PyTorch's generator on the CPU keeps 32 bits of the seed.
        self._generators = [torch.Generator(device=device).manual_seed(seed) for seed in seeds]
        self._drawing = [True] * len(seeds)

    @property
    def worlds(self) -> int:
        """The number of streams B."""
        return len(self._generators)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Independent standard normal values, (B, *shape), float32."""
        return self._fill(shape, "normal_")

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Independent values uniform on [0, 1), (B, *shape), float32."""
        return self._fill(shape, "uniform_")

    def of_worlds(self, worlds: Sequence[int]) -> GeneratorStreams:
        """The generators of some worlds."""
        part = GeneratorStreams([], self.device)
        part._generators = [self._generators[world] for world in worlds]
        part._drawing = [self._drawing[world] for world in worlds]
        return part

    def replace(self, worlds: Sequence[int], others: Streams) -> None:
        """Go on with the generators of others in some worlds."""
        assert isinstance(others, GeneratorStreams)
        for world, generator in zip(worlds, others._generators, strict=True):
            self._generators[world] = generator

    @contextmanager
    def only(self, worlds: Tensor) -> Iterator[None]:
        """A context in which the worlds (B,) that are False get zeros and keep their streams."""
        before = self._drawing
        self._drawing = [bool(draws) for draws in worlds.tolist()]
        try:
            yield
        finally:
            self._drawing = before

    def _fill(self, shape: Sequence[int], kind: str) -> Tensor:
        make = torch.empty if all(self._drawing) else torch.zeros
        out = make((self.worlds, *shape), device=self.device)
        # The loop is over worlds, never over samples: one fill draws all samples of a world.
        for row, generator, draws in zip(out, self._generators, self._drawing, strict=True):
            if draws:
                getattr(row, kind)(generator=generator)
        return out


class CounterStreams(Streams):
    """SplitMix64 for all worlds at once, without a loop or a look at the device's memory.

    Args:
        seeds: 64 bits for each world.
        device: where the numbers are made.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.device = device
        self._seeds = torch.tensor([_signed(seed) for seed in seeds], dtype=torch.long).to(device)
        self._given = torch.zeros_like(self._seeds)
        self._drawing: Tensor | None = None

    @property
    def worlds(self) -> int:
        """The number of streams B."""
        return len(self._seeds)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Independent standard normal values, (B, *shape), float32: Box and Muller's."""
        size = math.prod(shape)
        words = self._words((size + 1) // 2)
        # (0, 1], whose logarithm is finite, and whatever angle.
        first = (_shifted(words, 32) + 1).float() * 2.0**-32
        radius = first.log().mul(-2).sqrt()
        angle = (words & _LOWER).float() * (2 * math.pi * 2.0**-32)
        values = torch.cat((radius * angle.cos(), radius * angle.sin()), -1)
        return self._silenced(values[:, :size]).reshape(self.worlds, *shape)

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Independent values uniform on [0, 1), (B, *shape), float32."""
        values = _shifted(self._words(math.prod(shape)), 40).float() * 2.0**-24
        return self._silenced(values).reshape(self.worlds, *shape)

    def of_worlds(self, worlds: Sequence[int]) -> CounterStreams:
        """Counters that go on where those of some worlds are."""
        rows = torch.tensor(list(worlds), dtype=torch.long).to(self.device)
        part = CounterStreams([], self.device)
        part._seeds, part._given = self._seeds[rows], self._given[rows]
        part._drawing = None if self._drawing is None else self._drawing[rows]
        return part

    def replace(self, worlds: Sequence[int], others: Streams) -> None:
        """Go on where others are in some worlds."""
        assert isinstance(others, CounterStreams)
        rows = torch.tensor(list(worlds), dtype=torch.long).to(self.device)
        self._seeds[rows], self._given[rows] = others._seeds, others._given

    @contextmanager
    def only(self, worlds: Tensor) -> Iterator[None]:
        """A context in which the worlds (B,) that are False get zeros and keep their streams."""
        before = self._drawing
        self._drawing = worlds.to(self.device)
        try:
            yield
        finally:
            self._drawing = before

    def _words(self, count: int) -> Tensor:
        """The next 64 bits of each world, ``count`` times: (B, count)."""
        steps = torch.arange(count, device=self.device)
        words = splitmix64(self._seeds.unsqueeze(-1), self._given.unsqueeze(-1) + steps)
        self._given += count if self._drawing is None else count * self._drawing.long()
        return words

    def _silenced(self, values: Tensor) -> Tensor:
        if self._drawing is None:
            return values
        return torch.where(self._drawing.unsqueeze(-1), values, 0.0)


_LOWER = 2**32 - 1


def splitmix64(seed: Tensor, index: Tensor) -> Tensor:
    """Number ``index``, from 0, of the SplitMix64 generator with a seed.

    Both are int64, as is the result: their 64 bits count, not their sign. Sums and products of
    int64 tensors wrap around.
    """
    mixed = seed + (index + 1) * _signed(0x9E3779B97F4A7C15)
    mixed = (mixed ^ _shifted(mixed, 30)) * _signed(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ _shifted(mixed, 27)) * _signed(0x94D049BB133111EB)
    return mixed ^ _shifted(mixed, 31)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Shift right and fill with zeros; int64's own shift fills with the sign."""
    return torch.bitwise_and(bits >> by, 2 ** (64 - by) - 1)


def _signed(bits: int) -> int:
    """The int64 of the same 64 bits."""
    return bits - 2**64 if bits >= 2**63 else bits
