"""The settings of fine-tuned baselines. Light: options are made from them."""

from __future__ import annotations

import attrs

from codi_baselines.settings import BaselineSettings
from codi_core.quantities import positive, whole
from codi_core.training.settings import shared_option, training_option

SAMPLING, METHOD = "sampling the policy in training", "method"


def _count(help_text: str, default: int) -> int:
    option: int = training_option(SAMPLING, help_text, default, type=whole(1), metavar="N")
    return option


@attrs.frozen
class FineTuningSettings(BaselineSettings):
    """What the fine-tuning of a joint policy takes, by whichever method.

    Raises:
        UsageError: a value out of range.
    """

    refresh: int = _count("steps between two times that the policy is sampled", 50)
    states: int = _count("demonstrated states that it is sampled in", 128)
    samples: int = _count("samples in each of them", 16)
    kept: int = _count("how many times' samples are learnt from", 1)
    sampling_steps: int = _count("denoising steps of a sample", 8)
    measured_states: int = _count("states in which E[J] of the policy is measured", 128)
    measured_samples: int = _count("samples in each of them for that", 4)
    steps: int = shared_option("steps", 3000)
    learning_rate: float = shared_option("learning_rate", 3e-4)
    warm_up: int = shared_option("warm_up", 100)
    ema_maximum: float = shared_option("ema_maximum", 0.995)
    evaluate_every: int = shared_option("evaluate_every", 250)
    keep_every: int = shared_option("keep_every", 500)

    @property
    def model_temperature(self) -> float | None:
        """The λ that the policy depends on, or None if it depends on none."""
        return self.temperature


@attrs.frozen
class MirrorDescentSettings(FineTuningSettings):
    """Diffusion-policy mirror descent (Eq. 50-52).

    Raises:
        UsageError: a value out of range.
    """

    learning_rate: float = shared_option("learning_rate", 1e-3)
    normalise: float | None = training_option(
        METHOD,
        "take the running mean and spread out of the costs, clip them to ±3, and divide them by "
        "this number instead of λ, as the authors' code means to",
        None,
        type=positive,
        metavar="X",
    )

    @property
    def model_temperature(self) -> float | None:
        """None for normalised costs, which are not divided by λ."""
        return self.temperature if self.normalise is None else None


@attrs.frozen
class SoftActorCriticSettings(FineTuningSettings):
    """Soft diffusion actor-critic (Eq. 53-55).

    Raises:
        UsageError: a value out of range.
    """

    samples: int = _count("samples in each of them; each gets one noise level", 4)
    kept: int = _count("how many times' samples are learnt from", 8)
    learning_rate: float = shared_option("learning_rate", 1e-4)
    keep_every: int = shared_option("keep_every", 100)
    reverse_samples: int = training_option(
        METHOD,
        "K, reverse samples that the target at a noisy chunk is made of",
        64,
        type=whole(1),
        metavar="K",
    )
    clip: bool = training_option(
        METHOD,
        "clip reverse samples to the actions that demonstrations hold (default: yes)",
        True,
    )


@attrs.frozen
class EditAndDistilSettings(FineTuningSettings):
    """Expressive policy optimisation (Eq. 56-57).

    Raises:
        UsageError: a value out of range.
    """

    samples: int = _count("samples in each of them; each is edited", 8)
    learning_rate: float = shared_option("learning_rate", 1e-3)
    edits: int = training_option(
        METHOD,
        "perturbations that an edit is made of",
        8,
        type=whole(1),
        metavar="N",
    )
    edit_scale: float = training_option(
        METHOD,
        "their standard deviation, in units of normalised actions",
        0.1,
        type=positive,
        metavar="X",
    )
