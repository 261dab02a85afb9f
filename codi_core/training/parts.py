"""What a training is made of: a model, a loss, and batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs
import torch
from torch import Tensor, nn

from codi_core.training.trainer import BatchSource

ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT = TypeVar("BatchT")


@attrs.frozen(eq=False)
class TrainingParts(Generic[ModelT, BatchT]):
    """What is trained, on what, and towards what.

    Attributes:
        model: on the device that it is trained on.
        loss: ``loss(model, batch, generator)``, a scalar.
        source: of training batches, on that device.
        save: writes the trained model to a path, with JSON-able metadata.
        data: JSON-able, for ``config.json`` and the checkpoint: where the batches come from. A
            training is resumed only if its "fingerprint" is the same.
        description: JSON-able, for ``config.json``: what the model is.
        held_out: of batches for the held-out loss, or None.
        notes: what the user should know before it begins.
        measures: what else is measured of the model with averaged weights, by name; the curve has a
            column for each. They draw nothing from a generator that the training goes on with.
    """

    model: ModelT
    loss: Callable[[ModelT, BatchT, torch.Generator], Tensor]
    source: BatchSource[BatchT]
    save: Callable[[ModelT, Path, Mapping[str, Any]], None]
    data: Mapping[str, Any]
    description: Mapping[str, Any]
    held_out: BatchSource[BatchT] | None = None
    notes: tuple[str, ...] = ()
    measures: Mapping[str, Callable[[ModelT], float]] = attrs.field(factory=dict)
