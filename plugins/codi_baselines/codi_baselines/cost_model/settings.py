"""The settings of the training of a cost model. Light: options are made from them."""

from __future__ import annotations

from typing import Literal

import attrs

from codi_baselines.settings import BaselineSettings
from codi_core.quantities import positive, whole
from codi_core.training.settings import (
    DATA,
    NETWORK,
    OPTIMISATION,
    shared_option,
    training_option,
)

DEMONSTRATIONS, POLICY = "demonstrations", "policy"
"""Where the chunks come from whose costs are learnt."""

EXPECTED_COST, LOG_MEAN_EXP = "expected-cost", "log-mean-exp"
"""What is regressed."""


@attrs.frozen
class CostModelSettings(BaselineSettings):
    """What cost model to train, on what, and how.

    Raises:
        UsageError: a value out of range.
    """

    samples_from: Literal["demonstrations", "policy"] = training_option(
        DATA,
        "whose chunks' costs are learnt: those demonstrated, as Eq. 47 prints, or samples of the "
        "base policies at the demonstrated states",
        DEMONSTRATIONS,
        choices=(DEMONSTRATIONS, POLICY),
    )
    states: int = training_option(
        DATA,
        "how many demonstrated states the base policies are sampled at",
        50_000,
        type=whole(1),
        metavar="N",
    )
    samples: int = training_option(
        DATA,
        "how many samples are drawn at each",
        16,
        type=whole(1),
        metavar="N",
    )
    sampling_steps: int = training_option(
        DATA,
        "denoising steps of such a sample",
        6,
        type=whole(1),
        metavar="N",
    )
    resolution: float = training_option(
        DATA,
        "differences between the costs of a state's samples that are far below that are not "
        "learnt, in units of the cost",
        0.1,
        type=positive,
        metavar="X",
    )
    held_out: float = shared_option("held_out")
    target: Literal["expected-cost", "log-mean-exp"] = training_option(
        OPTIMISATION,
        "what is regressed: E[J | a_t], as Eq. 47 prints, or -λ log E[exp(-J/λ) | a_t], the "
        "unbiased classifier",
        EXPECTED_COST,
        choices=(EXPECTED_COST, LOG_MEAN_EXP),
    )
    width: int = training_option(
        NETWORK,
        "width of the network",
        256,
        type=whole(8),
        metavar="N",
    )
    depth: int = training_option(
        NETWORK,
        "its residual layers",
        3,
        type=whole(1),
        metavar="N",
    )
    noise_mean: float = shared_option("noise_mean")
    noise_std: float = shared_option("noise_std")

    @property
    def model_temperature(self) -> float | None:
        """The λ that the model depends on; None for E[J | a_t], which depends on none."""
        return self.temperature if self.target == LOG_MEAN_EXP else None
