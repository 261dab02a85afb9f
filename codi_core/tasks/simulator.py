"""The interface of physics simulators: dense arrays in, dense arrays out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor


class Simulator(ABC):
    """Steps n copies of one model; nothing but dense arrays crosses this interface.

    So it may live on another device, in another process or in another interpreter.

    Attributes:
        device: the device ("cpu", "cuda:0") on which its tensors are.
    """

    device: str

    @abstractmethod
    def set_state(self, state: Any) -> None:
        """Put copy j into row j of the task's typed state, tensors (n, ...), SI units."""

    @abstractmethod
    def step(self, targets: Tensor, count: int) -> Any:
        """Hold the actuator targets (n, U) for ``count`` physics steps; return the state."""
