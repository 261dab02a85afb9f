"""The settings of a training run. Light: the command line is made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import attrs

from codi_core.defaults import (
    BATCH_SIZE,
    EMA_MAXIMUM,
    EMA_POWER,
    HORIZON,
    LEARNING_RATE,
    MLP_DEPTH,
    MLP_EXPANSION,
    MLP_WIDTH,
    NOISE_MEAN,
    NOISE_STD,
    SIGMA_DATA,
    UNET_BLOCKS,
    UNET_WIDTHS,
    WARM_UP,
    WEIGHT_DECAY,
)
from codi_core.quantities import check_fields, finite, integer, not_negative, positive, whole

if TYPE_CHECKING:
    from codi_core.training.trainer import TrainerSettings

DATA, NETWORK, OPTIMISATION, MACHINE = "data", "network", "optimisation", "machine"
"""What the options of ``codi-train`` are grouped under."""

NETWORK_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "unet": ("widths", "blocks"),
    "mlp": ("width", "depth", "expansion"),
}
"""The settings that are options of a network, by its kind."""


def training_option(group: str, help_text: str, default: Any, **metadata: Any) -> Any:
    """A field of settings that is an option of a command.

    Args:
        group: the heading under which the help lists it.
        help_text: what the help says.
        default: its default.
        metadata: ``converter``, and what :func:`codi_core.commands.options.add_fields` reads.
    """
    converter = metadata.pop("converter", None)
    return attrs.field(
        default=default,
        converter=converter,
        metadata={"group": group, "help": help_text, **metadata},
    )


def groups_of(settings: type[Any]) -> tuple[str, ...]:
    """The headings of the options of settings; those that every training has come last."""
    shared = (OPTIMISATION, MACHINE)
    found = dict.fromkeys(
        field.metadata["group"] for field in attrs.fields(settings) if "group" in field.metadata
    )
    own = [name for name in found if name not in shared]
    return (*own, *[name for name in shared if name in found])


def texts(values: Any) -> tuple[str, ...]:
    """Several texts, of whatever was given; none for nothing."""
    return tuple(map(str, values or ()))


def renamed_features(texts: Iterable[str]) -> dict[str, str]:
    """The features of ``FEATURE`` and ``FEATURE=NAME``, by the names that they get."""
    pairs = (text.partition("=") for text in texts)
    return {name or feature: feature for feature, _, name in pairs}


@attrs.frozen
class TrainingSettings:
    """What every training has: a data set, a folder, how it is optimised, and where.

    Settings of a training of its own derive from it, and add their fields with
    :func:`training_option`.

    Raises:
        UsageError: a value out of range.
    """

    dataset: str = attrs.field(metadata={"hidden": True})
    output: str = attrs.field(metadata={"hidden": True})
    steps: int = training_option(
        OPTIMISATION,
        "optimisation steps",
        18_000,
        type=whole(1),
        metavar="N",
    )
    batch_size: int = training_option(
        OPTIMISATION,
        "windows a step",
        BATCH_SIZE,
        type=whole(1),
        metavar="N",
    )
    learning_rate: float = training_option(
        OPTIMISATION,
        "highest learning rate; warm-up, then a cosine to zero",
        LEARNING_RATE,
        type=positive,
        metavar="X",
    )
    warm_up: int = training_option(
        OPTIMISATION,
        "steps of warm-up",
        WARM_UP,
        type=whole(1),
        metavar="N",
    )
    weight_decay: float = training_option(
        OPTIMISATION,
        "of AdamW",
        WEIGHT_DECAY,
        type=not_negative,
        metavar="X",
    )
    ema_power: float = training_option(
        OPTIMISATION,
        "exponent of the warm-up of the averaged weights",
        EMA_POWER,
        type=positive,
        metavar="X",
    )
    ema_maximum: float = training_option(
        OPTIMISATION,
        "highest decay of the averaged weights",
        EMA_MAXIMUM,
        type=positive,
        metavar="X",
    )
    evaluate_every: int = training_option(
        OPTIMISATION,
        "steps between measurements",
        1000,
        type=whole(1),
        metavar="N",
    )
    keep_every: int = training_option(
        OPTIMISATION,
        "steps between checkpoints that are kept; 0 keeps the last one alone",
        0,
        type=whole(0),
        metavar="N",
    )
    seed: int = training_option(
        OPTIMISATION,
        "of everything random",
        0,
        type=whole(0),
        metavar="N",
    )
    threads: int = training_option(
        MACHINE,
        "torch threads; more than there are free cores is far slower",
        1,
        type=whole(1),
        metavar="N",
    )
    device: str = training_option(
        MACHINE,
        "cpu, cuda:0, …",
        "cpu",
        metavar="NAME",
    )
    precision: Literal["float32", "bfloat16"] = training_option(
        MACHINE,
        "of products and convolutions in training",
        "float32",
        choices=("float32", "bfloat16"),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)

    def trainer(self) -> TrainerSettings:
        """The settings of the training loop."""
        from codi_core.training.ema import EMASettings
        from codi_core.training.trainer import TrainerSettings

        return TrainerSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            warm_up=min(self.warm_up, self.steps // 2),
            weight_decay=self.weight_decay,
            ema=EMASettings(self.ema_power, self.ema_maximum),
            seed=self.seed,
            evaluate_every=self.evaluate_every,
            keep_every=self.keep_every,
            precision=self.precision,
        )


@attrs.frozen
class RunSettings(TrainingSettings):
    """What to train on, what to train, and how; the options of ``codi-train``.

    Raises:
        UsageError: a value out of range.
    """

    observations: tuple[str, ...] = training_option(
        DATA,
        "features that the policy observes; FEATURE=NAME observes one under another name "
        "(default: all called observation…)",
        (),
        converter=texts,
        metavar="FEATURE",
    )
    action: str = training_option(
        DATA,
        "the feature that it predicts",
        "action",
        metavar="FEATURE",
    )
    horizon: int = training_option(
        DATA,
        "K, actions in a chunk",
        HORIZON,
        type=whole(1),
        metavar="K",
    )
    history: int = training_option(
        DATA,
        "H, observations it reads",
        1,
        type=whole(1),
        metavar="H",
    )
    offset: int = training_option(
        DATA,
        "control step of a chunk's first action; 0 is the present one",
        0,
        type=integer,
        metavar="N",
    )
    held_out: float = training_option(
        DATA,
        "share of the episodes that is held out to measure the loss",
        0.02,
        type=not_negative,
        metavar="SHARE",
    )
    network: Literal["unet", "mlp"] = training_option(
        NETWORK, "the network", "unet", choices=("unet", "mlp")
    )
    widths: tuple[int, ...] = training_option(
        NETWORK,
        "channels of the unet at each resolution",
        UNET_WIDTHS,
        converter=tuple,
        type=whole(8),
        metavar="N",
    )
    blocks: int = training_option(
        NETWORK,
        "residual blocks of the unet at each resolution, down and up",
        UNET_BLOCKS,
        type=whole(1),
        metavar="N",
    )
    width: int = training_option(
        NETWORK,
        "width of the mlp",
        MLP_WIDTH,
        type=whole(8),
        metavar="N",
    )
    depth: int = training_option(
        NETWORK,
        "residual layers of the mlp",
        MLP_DEPTH,
        type=whole(1),
        metavar="N",
    )
    expansion: int = training_option(
        NETWORK,
        "how many times wider the layers of the mlp are inside",
        MLP_EXPANSION,
        type=whole(1),
        metavar="N",
    )
    sigma_data: float = training_option(
        NETWORK,
        "standard deviation of the normalised actions",
        SIGMA_DATA,
        type=positive,
        metavar="X",
    )
    noise_mean: float = training_option(
        NETWORK,
        "mean of ln sigma in training",
        NOISE_MEAN,
        type=finite,
        metavar="X",
    )
    noise_std: float = training_option(
        NETWORK,
        "standard deviation of ln sigma in training",
        NOISE_STD,
        type=positive,
        metavar="X",
    )

    def observed(self) -> dict[str, str]:
        """The features that are observed, by the names that the policy has for them."""
        return renamed_features(self.observations)

    def network_options(self) -> dict[str, Any]:
        """The options of the chosen network."""
        return {name: getattr(self, name) for name in NETWORK_OPTIONS[self.network]}

    def diffusion(self) -> dict[str, float]:
        """The settings of the preconditioning and of the noise levels."""
        names = ("sigma_data", "noise_mean", "noise_std")
        return {name: getattr(self, name) for name in names}


class SessionSettings(Protocol):
    """What a :class:`~codi_core.training.session.TrainingSession` asks of settings.

    They are an attrs class with JSON-able fields; :class:`RunSettings` is one.
    """

    @property
    def output(self) -> str:
        """The run folder."""

    @property
    def threads(self) -> int:
        """Torch threads."""

    @property
    def device(self) -> str:
        """The device: "cpu", "cuda:0", …."""

    def trainer(self) -> TrainerSettings:
        """The settings of the training loop."""


def shared_option(name: str, default: Any = attrs.NOTHING) -> Any:
    """A field of the settings of ``codi-train``, with another default if one is given."""
    field = attrs.fields_dict(RunSettings)[name]
    return attrs.field(
        default=field.default if default is attrs.NOTHING else default,
        converter=field.converter,
        metadata=field.metadata,
    )
