"""The settings of a distillation. Light: the command line is made from them."""

from __future__ import annotations

from typing import Literal

import attrs

from codi_core.quantities import not_negative, positive, whole
from codi_core.training.settings import (
    DATA,
    OPTIMISATION,
    TrainingSettings,
    renamed_features,
    shared_option,
    texts,
    training_option,
)

STUDENT = "student"
"""What the options of ``codi-distil`` about the student are grouped under."""


@attrs.frozen
class DistillationSettings(TrainingSettings):
    """What is distilled, in which states, and into what; the options of ``codi-distil``.

    Attributes:
        teacher: the checkpoint of the policy that is distilled.
        teacher_digest: its sha256. A distillation is gone on with from that teacher alone.

    Raises:
        UsageError: a value out of range.
    """

    teacher: str = attrs.field(kw_only=True, metadata={"hidden": True})
    teacher_digest: str = attrs.field(kw_only=True, metadata={"hidden": True})
    steps: int = shared_option("steps", 12_000)
    batch_size: int = training_option(
        OPTIMISATION, "samples of the teacher a step", 128, type=whole(1), metavar="N"
    )
    learning_rate: float = shared_option("learning_rate", 5e-4)
    warm_up: int = shared_option("warm_up", 100)
    observations: tuple[str, ...] = training_option(
        DATA,
        "features that are observed; FEATURE=NAME is one that the teacher has another name for "
        "(default: the names that the teacher has)",
        (),
        converter=texts,
        metavar="FEATURE",
    )
    action: str = training_option(
        DATA, "the feature that the teacher predicts", "action", metavar="FEATURE"
    )
    held_out: float = training_option(
        DATA,
        "share of the episodes in whose states the student is measured, and not trained",
        0.02,
        type=not_negative,
        metavar="SHARE",
    )
    calls: Literal[1, 2] = training_option(
        STUDENT, "calls of the network for a sample", 2, type=whole(1)
    )
    level: float = training_option(
        STUDENT,
        "the noise level of the second call, about; it is one of those of --solver-calls",
        1.6,
        type=positive,
        metavar="T",
    )
    solver_calls: int = training_option(
        STUDENT,
        "calls of the teacher for a sample that the student learns",
        8,
        type=whole(2),
        metavar="N",
    )

    def observed(self) -> dict[str, str]:
        """The features that are observed, by the names that the teacher has for them."""
        return renamed_features(self.observations)
