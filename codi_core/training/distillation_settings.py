"""The settings of a distillation. Light: the command line is made from them."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from codi_core.errors import UsageError
from codi_core.quantities import flag, not_negative, positive, whole
from codi_core.training.settings import (
    DATA,
    NETWORK,
    NETWORK_OPTIONS,
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
        stand_in_digest: likewise of the student that stands in for it; None without one.

    Raises:
        UsageError: a value out of range.
    """

    teacher: str = attrs.field(kw_only=True, metadata={"hidden": True})
    teacher_digest: str = attrs.field(kw_only=True, metadata={"hidden": True})
    stand_in_digest: str | None = attrs.field(default=None, kw_only=True, metadata={"hidden": True})
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
    stand_in: str | None = training_option(
        STUDENT,
        "an existing student of the policy, whose one or two calls stand in for those of "
        "--solver-calls: samples cost less, and the new student learns its errors, too",
        None,
        metavar="CHECKPOINT",
    )
    reuse: int = training_option(
        STUDENT,
        "how often a sample of the teacher is learnt from, on average, before another takes its "
        "place",
        1,
        type=whole(1),
        metavar="N",
    )
    network: Literal["teacher", "unet", "mlp"] = training_option(
        NETWORK,
        "the network: the teacher's, which begins with its weights, or one of its own, which "
        "begins untrained and takes longer",
        "teacher",
        choices=("teacher", "unet", "mlp"),
    )
    widths: tuple[int, ...] = shared_option("widths")
    blocks: int = shared_option("blocks")
    width: int = shared_option("width")
    depth: int = shared_option("depth")
    expansion: int = shared_option("expansion")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        fields, own = attrs.fields_dict(type(self)), self.network_options()
        for network, names in NETWORK_OPTIONS.items():
            for name in names:
                if name not in own and getattr(self, name) != fields[name].default:
                    raise UsageError(
                        f"{flag(name)} is an option of --network {network}, and the student's is "
                        f"{self.network}"
                    )

    def network_options(self) -> dict[str, Any]:
        """The options of the student's network; none for the teacher's."""
        return {name: getattr(self, name) for name in NETWORK_OPTIONS.get(self.network, ())}

    def observed(self) -> dict[str, str]:
        """The features that are observed, by the names that the teacher has for them."""
        return renamed_features(self.observations)
