"""The interface of what foresees the effect of joint actions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import attrs
from torch import Tensor


@attrs.frozen
class Prediction:
    """What a predictor foresees for B worlds and M samples.

    Attributes:
        trajectory: the task's typed trajectory. Its tensors start with (B, M, K, ...); a class
            that keeps some in another order, because that is faster, says so in ``AXES``
            (see :func:`~codi_core.predictors.axes_of`).
        valid: (B, M) booleans, False where the prediction failed (a diverged simulation) or must
            not come true (an object that nothing can pick up again, a robot where its policy has
            never been).
            None says that all are valid.
    """

    trajectory: Any
    valid: Tensor | None = None


class Predictor(ABC):
    """Foresees the trajectory that joint actions lead to, from a state estimate."""

    @abstractmethod
    def predict(self, state: Any, chunks: tuple[Tensor, ...]) -> Prediction:
        """Roll all samples of all worlds out in one batched call.

        Args:
            state: the task's typed state estimate, tensors (B, ...), SI units.
            chunks: one tensor per agent, physical actions (B, M, K, A_i). They may lie far
                outside the actuators' limits, which the predictor saturates.
        """


class SeparablePredictor(Predictor):
    """Foresees each agent's motion from its own actions alone, and never fails.

    So one prediction of some samples is enough for all that can be put together of the agents'
    parts of them. A selection agent by agent then predicts once, see
    :class:`~codi_core.composition.recombination.Recombination`.
    """

    @abstractmethod
    def recombine(self, trajectory: Any, numbers: Tensor, moving: Tensor) -> Any:
        """The trajectory in which some agents do what they did, and the others one thing each.

        Args:
            trajectory: what :meth:`predict` foresaw for M samples.
            numbers: (B, N) int64, the sample whose part each of the others does.
            moving: (B, N) booleans, the agents that do what they did in each sample.

        Returns:
            A trajectory like the given one, which stays as it is. What terms of costs lack that
            involve no moving agent may be left out.
        """
