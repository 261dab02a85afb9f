"""Training of base policies, and their checkpoints."""

from codi_core.training.checkpoint import (
    checkpoint_digest,
    load_checkpoint,
    read_metadata,
    save_checkpoint,
)
from codi_core.training.curve import draw_curve, read_curve
from codi_core.training.ema import EMASettings, ExponentialMovingAverage
from codi_core.training.trainer import BatchSource, Progress, Trainer, TrainerSettings

__all__ = [
    "BatchSource",
    "EMASettings",
    "ExponentialMovingAverage",
    "Progress",
    "Trainer",
    "TrainerSettings",
    "checkpoint_digest",
    "draw_curve",
    "load_checkpoint",
    "read_curve",
    "read_metadata",
    "save_checkpoint",
]
