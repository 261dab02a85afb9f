"""Taking some worlds out of a batch."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Divisible(Protocol):
    """A state of B worlds that some of them can be taken out of."""

    def of_worlds(self, rows: Tensor) -> Any:
        """The state of the worlds with the numbers ``rows``, (b,), alone."""


def is_divisible(state: Any) -> bool:
    """Whether some worlds can be taken out of a state: a tensor, None, or :class:`Divisible`."""
    return state is None or isinstance(state, (Tensor, Divisible))


def of_worlds(state: Any, rows: Tensor) -> Any:
    """The state of the worlds with the numbers ``rows``, (b,), alone."""
    if state is None:
        return None
    return state[rows.to(state.device)] if isinstance(state, Tensor) else state.of_worlds(rows)
