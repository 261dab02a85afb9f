"""Checkpoints of cost models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codi_baselines.cost_model.network import CostModel
from codi_core.errors import CheckpointError, CodiError
from codi_core.policies import Normaliser, ProductPolicy
from codi_core.training.checkpoint import read_metadata, read_weights, write_tensors


def save_cost_model(model: CostModel, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write a cost model, atomically, with further JSON-able metadata."""
    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    write_tensors(path, tensors, {**model.describe(), **metadata})


def load_cost_model(path: Path, product: ProductPolicy) -> CostModel:
    """Read a cost model for the chunks of a product policy, ready to guide it.

    Raises:
        CheckpointError: the file is missing or damaged, or made for other chunks.
    """
    metadata = read_metadata(path)
    try:
        architecture = metadata["architecture"]
        model = CostModel.build(
            product.layout,
            Normaliser.identity(metadata["conditioning"]),
            architecture["network"],
            metadata["sigma_data"],
            **architecture["options"],
        )
        model.load_state_dict(read_weights(path))
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, CodiError) as error:
        raise CheckpointError(
            f"{path} is no cost model for these base policies ({type(error).__name__}: {error}): "
            "give a checkpoint of codi-train-baseline, or train one"
        ) from error
    return model.requires_grad_(False).eval()
