"""How much memory a training takes, found out before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from codi_core.execution.memory import check_memory
from codi_core.policies.networks import build_network
from codi_core.quantities import flag
from codi_core.training.parts import TrainingParts

TRAINED_COPIES = 5
"""Weights, their gradients, two moments of AdamW, and the averaged weights."""
SMALL = 512
"""Networks none of whose widths, inner widths and depths are larger need not be counted."""

COUNTED = 16
"""Examples that a step is measured on, and twice as many: networks may fill fewer rows up."""


def check_network(
    kind: str,
    horizon: int,
    action_size: int,
    conditioning_size: int,
    options: Mapping[str, Any],
    device: str,
) -> None:
    """Check that a network can be trained, without making it.

    Args:
        kind: its name, see :func:`~codi_core.policies.networks.build_network`.
        horizon: K, actions in a chunk.
        action_size: A, values in one action.
        conditioning_size: C, values in a flat observation with its history.
        options: those of the network, which are options of the training by the same names.
        device: where it is trained.

    Raises:
        UsageError: there is not enough memory for it.
    """
    sizes = [size for value in options.values() for size in _sizes(value)]
    inside = int(options.get("width", 1)) * int(options.get("expansion", 1))
    if max(*sizes, inside) <= SMALL:
        return
    repeated = next(name for name in ("depth", "blocks") if name in options)

    def weights(repeats: int) -> int:
        given = {**options, repeated: repeats}
        with torch.device("meta"):
            network = build_network(kind, horizon, action_size, conditioning_size, **given)
        return sum(weight.numel() for weight in network.parameters())

    # Each repetition adds as many weights as the one before.
    count = weights(1) + (options[repeated] - 1) * (weights(2) - weights(1))
    needed = torch.float32.itemsize * TRAINED_COPIES * count
    remedy = f"give smaller {' or '.join(map(flag, options))}"
    check_memory(needed, f"{count:,} weights in training", remedy, device)


def _sizes(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (int(value),)


def check_batch(parts: TrainingParts[Any, Any], size: int, device: str) -> None:
    """Check that there is room for what a step keeps of a batch for its gradient.

    It is measured on a few examples, if drawing some changes nothing.

    Args:
        parts: the training.
        size: examples a step.
        device: where it is trained.

    Raises:
        UsageError: there is not enough memory for that.
    """
    source = parts.held_out or parts.source
    if source is not parts.held_out and source.state():
        return
    few, more = (_kept(parts, source, count, device) for count in (COUNTED, 2 * COUNTED))
    needed = size * (more - few) / COUNTED
    check_memory(needed, f"steps of {size:,} examples", "give a smaller --batch-size", device)


def _kept(parts: TrainingParts[Any, Any], source: Any, count: int, device: str) -> int:
    """How much a step of ``count`` examples keeps for its gradient [bytes]."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    generator = torch.Generator(device).manual_seed(0)
    batch = source.sample(generator, count)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = parts.loss(parts.model, batch, generator)  # held until all is counted
    del loss
    return sum(kept.values())
