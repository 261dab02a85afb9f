"""The interface of what foresees the effect of joint actions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import attrs
from torch import Tensor


@attrs.frozen
class Prediction:
    """What a predictor foresees for B worlds and M samples.

    Attributes:
        trajectory: the task's typed trajectory. Its tensors start with (B, M, K, ...); a class
            that keeps some in another order, because that is faster, says so in ``AXES``
            (see :func:`axes_of`).
        valid: (B, M) booleans, False where the prediction failed (a diverged simulation) or must
            not come true (an object that nothing can pick up again, a robot where its policy has
            never been).
            None says that all are valid.
    """

    trajectory: Any
    valid: Tensor | None = None


DEFAULT_AXES = "B M K"


def axes_of(trajectory: object, field: str) -> tuple[str, ...]:
    """The names of the leading axes of the tensors in a trajectory's field.

    B are worlds, M samples, K control steps and N agents; a number is the axis' size, and another
    letter says nothing. What a trajectory's class does not name in ``AXES`` starts with B M K,
    where an axis of size 1 stands for all; what it names "" is not meant to be read by others::

        class Paths:
            AXES: ClassVar[Mapping[str, str]] = {"path": "K 3 B N M", "state": "B", "pairs": ""}
    """
    declared: Mapping[str, str] = getattr(type(trajectory), "AXES", {})
    return tuple(declared.get(field, DEFAULT_AXES).split())


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
