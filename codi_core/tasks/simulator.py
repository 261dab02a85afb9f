"""The interface of physics simulators: dense arrays in, dense arrays out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

from torch import Tensor


class Snapshot(Protocol):
    """What some copies look like; a task's own kind may have more, such as contacts and forces.

    Attributes:
        state: the task's typed state, one row a copy.
        valid: booleans, one a copy: False from the moment that its simulation broke down until its
            state is set. The others are not affected by it.
    """

    @property
    def state(self) -> Any: ...  # noqa: D102

    @property
    def valid(self) -> Tensor: ...  # noqa: D102


class Simulator(ABC):
    """Steps n copies of one model; nothing but dense arrays crosses this interface.

    So it may live on another device, in another process or in another interpreter. A controller
    works between two calls of :meth:`step`: it reads the state that one returned, where it is, and
    gives the next one its targets. Nothing is copied to the host unless ``device`` is the host.

    :func:`codi_core.testing.check_simulator` checks what this interface promises.

    Attributes:
        device: the device ("cpu", "cuda:0") on which its tensors are, those it is given and those
            it returns.
        copies: n.
    """

    device: str
    copies: int

    @abstractmethod
    def set_state(self, state: Any, rows: Tensor | None = None) -> None:
        """Put some copies into states, and leave the others alone.

        Args:
            state: the task's typed state, tensors (n', ...), SI units, one row a copy.
            rows: which copies, (n',) on the CPU; None stands for all.
        """

    @abstractmethod
    def step(self, targets: Tensor, count: int, rows: Tensor | None = None) -> Snapshot:
        """Hold actuator targets for some physics steps.

        Args:
            targets: (n', U), one row a copy.
            count: how many steps; with 0 no time passes, and what is there is looked at.
            rows: which copies, (n',) on the CPU; the others stand still. None stands for all.

        Returns:
            What these copies look like then, n' rows, which later calls do not change.
        """
