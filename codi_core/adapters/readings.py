"""What another library's environments say about B worlds at one instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.planning import stream
from codi_core.tasks import EpisodeKey


@attrs.frozen(eq=False)
class Readings:
    """What the library's environments say about B worlds at one instant.

    All but ``ended`` are arrays (B, ...), or mappings and tuples of such arrays. A world that has
    ended keeps what was said when it did.

    Attributes:
        observation: in PettingZoo by agent.
        reward: of the last step, 0 at the start; in PettingZoo by agent.
        terminated: whether the episode is over; in PettingZoo by agent.
        truncated: whether it was ended from outside; in PettingZoo by agent.
        info: by name, in PettingZoo by agent and name. What not every world says is 0, False or
            None for the others.
        ended: the worlds whose episodes have ended, (B,).
    """

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: Any
    ended: NDArray[np.bool_]

    @property
    def worlds(self) -> int:
        """The number of worlds B."""
        return len(self.ended)

    def of_worlds(self, rows: Sequence[int]) -> Readings:
        """What is said about the worlds with these numbers."""
        return Readings(*(_taken(tree, rows) for tree in self._fields()))

    def replaced(self, rows: Sequence[int], other: Readings) -> Readings:
        """The same with what ``other`` says about the worlds with these numbers."""
        order = np.arange(self.worlds)
        order[list(rows)] = self.worlds + np.arange(other.worlds)
        return Readings.joined([self, other]).of_worlds(order.tolist())

    @classmethod
    def joined(cls, parts: Sequence[Readings]) -> Readings:
        """What is said about the worlds of all parts, in their order."""
        counts = [part.worlds for part in parts]
        trees = zip(*(part._fields() for part in parts), strict=True)
        return Readings(*(_joined(list(tree), counts) for tree in trees))

    def _fields(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in attrs.fields(Readings))


def episode_seed(key: EpisodeKey) -> int:
    """What the library's environment is seeded with for an episode, 31 bits.

    An environment draws everything random of an episode from its seed, so it derives from the
    episode's key alone.
    """
    mixed = np.random.SeedSequence([key.seed, key.episode, stream("problem")])
    return int(mixed.generate_state(1)[0] >> 1)


def of_one(tree: Any) -> Any:
    """What one world says, with an axis of worlds: (...) becomes (1, ...)."""
    if isinstance(tree, Mapping):
        return {name: of_one(part) for name, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map(of_one, tree))
    if isinstance(tree, bool | int | float | np.generic | np.ndarray):
        return np.array(tree)[None]
    return _objects([tree])


def of_batch(tree: Any, worlds: int) -> Any:
    """Copies of arrays (B, ...), for libraries hand out live ones; what else is said, B times."""
    if isinstance(tree, Mapping):
        return {name: of_batch(part, worlds) for name, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(of_batch(part, worlds) for part in tree)
    if np.shape(tree)[:1] == (worlds,):
        return np.array(tree)
    return _objects([tree] * worlds)


def _taken(tree: Any, rows: Sequence[int]) -> Any:
    """Copies of some worlds' rows in mappings and tuples of arrays (B, ...)."""
    if isinstance(tree, Mapping):
        return {name: _taken(part, rows) for name, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_taken(part, rows) for part in tree)
    return tree[list(rows)]


def _joined(trees: Sequence[Any], counts: Sequence[int]) -> Any:
    """Arrays of several groups of worlds in one; None stands for a group that has none."""
    given = [tree for tree in trees if tree is not None]
    if isinstance(given[0], Mapping):
        names = dict.fromkeys(name for tree in given for name in tree)
        return {
            name: _joined([None if tree is None else tree.get(name) for tree in trees], counts)
            for name in names
        }
    if isinstance(given[0], tuple):
        parts = zip(*(tree or [None] * len(given[0]) for tree in trees), strict=True)
        return tuple(_joined(part, counts) for part in parts)
    arrays = [np.asarray(tree) for tree in given]
    if len({array.shape[1:] for array in arrays}) > 1:
        arrays = [_objects(list(array)) for array in arrays]
    filled = iter(arrays)
    return np.concatenate(
        [
            _blank(arrays[0], count) if tree is None else next(filled)
            for tree, count in zip(trees, counts, strict=True)
        ]
    )


def _blank(like: NDArray[Any], count: int) -> NDArray[Any]:
    """0, False or None for some worlds."""
    return np.full((count, *like.shape[1:]), None if like.dtype == object else 0, like.dtype)


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    """An array (n,) of things that are no numbers."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
