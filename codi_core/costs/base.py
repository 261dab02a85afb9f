"""The cost function J(s, a): a black box that couples the agents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor


class CostFunction(ABC):
    """J(s, a) of Eq. 6, in physical units; lower is better.

    It need not be differentiable. A value of +inf forbids a sample. A NaN loses the sample:
    guidance goes on without it and the run counts it.
    """

    @abstractmethod
    def __call__(self, trajectory: Any) -> Tensor:
        """The cost of each predicted trajectory.

        Args:
            trajectory: what the task's predictor foresees; its fields, shapes, units and frames
                stand in the task's documentation. Tensors start with (B, M, K, ...), unless its
                class says otherwise (:func:`codi_core.predictors.axes_of`).

        Returns:
            The costs, (B, M).
        """
