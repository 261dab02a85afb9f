"""The interface of what is controlled in closed loop: a simulation or a real system."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from codi_core.tasks.environment import Step


class Plant(ABC):
    """A system that reports what it sees and follows timed chunks of actions.

    A simulated plant runs on a virtual clock, a real one on the wall clock.
    """

    @abstractmethod
    def observe(self, until: float) -> Step:
        """Wait until the plant's clock shows ``until`` [s], then observe.

        A time that has passed already means: observe at once.
        """

    @abstractmethod
    def command(self, chunks: tuple[Tensor, ...], start: float) -> None:
        """Follow these chunks, (B, K, A_i) an agent, from time ``start`` [s] on.

        Until then the plant goes on with the chunks that it follows; those end at ``start``.
        """
