"""Training of base policies, and their checkpoints.

The names are imported on first use, so that ``codi-train --help`` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codi_core.late_names import late_names

_EXPORTS = {
    "codi_core.training.checkpoint": (
        "checkpoint_digest",
        "find_base",
        "load_checkpoint",
        "read_metadata",
        "save_checkpoint",
    ),
    "codi_core.training.curve": ("draw_curve", "read_curve"),
    "codi_core.training.ema": ("EMASettings", "ExponentialMovingAverage"),
    "codi_core.training.imitation": ("imitation_parts",),
    "codi_core.training.parts": ("TrainingParts",),
    "codi_core.training.session": ("TrainingSession",),
    "codi_core.training.settings": ("RunSettings", "SessionSettings", "TrainingSettings"),
    "codi_core.training.trainer": ("BatchSource", "Progress", "Trainer", "TrainerSettings"),
}
__getattr__, __dir__ = late_names(__name__, _EXPORTS)
__all__ = sorted(name for names in _EXPORTS.values() for name in names)

if TYPE_CHECKING:
    from codi_core.training.checkpoint import checkpoint_digest as checkpoint_digest
    from codi_core.training.checkpoint import find_base as find_base
    from codi_core.training.checkpoint import load_checkpoint as load_checkpoint
    from codi_core.training.checkpoint import read_metadata as read_metadata
    from codi_core.training.checkpoint import save_checkpoint as save_checkpoint
    from codi_core.training.curve import draw_curve as draw_curve
    from codi_core.training.curve import read_curve as read_curve
    from codi_core.training.ema import EMASettings as EMASettings
    from codi_core.training.ema import ExponentialMovingAverage as ExponentialMovingAverage
    from codi_core.training.imitation import imitation_parts as imitation_parts
    from codi_core.training.parts import TrainingParts as TrainingParts
    from codi_core.training.session import TrainingSession as TrainingSession
    from codi_core.training.settings import RunSettings as RunSettings
    from codi_core.training.settings import SessionSettings as SessionSettings
    from codi_core.training.settings import TrainingSettings as TrainingSettings
    from codi_core.training.trainer import BatchSource as BatchSource
    from codi_core.training.trainer import Progress as Progress
    from codi_core.training.trainer import Trainer as Trainer
    from codi_core.training.trainer import TrainerSettings as TrainerSettings
