"""The settings of a training run. Light: the command line reads the defaults from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from codi_core.training.trainer import TrainerSettings


def _strings(values: Any) -> tuple[str, ...]:
    return tuple(map(str, values or ()))


@attrs.frozen
class RunSettings:
    """What to train on, what to train, and how.

    Attributes:
        dataset: the folder of the demonstrations.
        output: the run folder.
        observations: the features that the policy observes; empty takes all "observation…".
        action: the feature that the policy predicts.
        horizon: K, actions in a chunk.
        history: H, observations that the policy reads.
        offset: the control step of a chunk's first action; 0 is the present one.
        held_out: the share of episodes that is held out.
        network: "unet" or "mlp".
        widths: the U-Net's channels at each resolution.
        blocks: the U-Net's residual blocks at each resolution, down and up.
        width: the MLP's width.
        depth: the MLP's residual layers.
        sigma_data: standard deviation of the normalised actions.
        noise_mean: mean of ln sigma in training.
        noise_std: standard deviation of ln sigma in training.
        steps: optimisation steps.
        batch_size: windows a step.
        learning_rate: the highest learning rate.
        warm_up: steps until it is reached.
        weight_decay: of AdamW.
        ema_power: exponent of the averaging's warm-up.
        ema_maximum: the highest decay of the averaging.
        precision: "float32" or "bfloat16".
        seed: of everything random.
        threads: of torch.
        device: "cpu", "cuda:0", ….
    """

    dataset: str
    output: str
    observations: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    action: str = "action"
    horizon: int = 16
    history: int = 1
    offset: int = 0
    held_out: float = 0.02
    network: str = "unet"
    widths: tuple[int, ...] = attrs.field(default=(64, 128), converter=tuple)
    blocks: int = 1
    width: int = 256
    depth: int = 4
    sigma_data: float = 1.0
    noise_mean: float = -0.8
    noise_std: float = 1.2
    steps: int = 18_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    warm_up: int = 500
    weight_decay: float = 1e-6
    ema_power: float = 0.75
    ema_maximum: float = 0.9999
    precision: str = "float32"
    seed: int = 0
    threads: int = 1
    device: str = "cpu"

    def network_options(self) -> dict[str, Any]:
        """The options of the chosen network."""
        if self.network == "unet":
            return {"widths": self.widths, "blocks": self.blocks}
        return {"width": self.width, "depth": self.depth}

    def diffusion(self) -> dict[str, float]:
        """The settings of the preconditioning and of the noise levels."""
        names = ("sigma_data", "noise_mean", "noise_std")
        return {name: getattr(self, name) for name in names}

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
            precision=self.precision,
        )
