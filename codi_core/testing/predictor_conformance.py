"""Checks that a predictor foresees each sample of each world on its own, in the declared order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from codi_core.costs import CostFunction
from codi_core.execution.world_selection import is_divisible, of_worlds
from codi_core.predictors import Prediction, Predictor
from codi_core.predictors.axes import begins_with
from codi_core.testing.requirement import require
from codi_core.testing.trajectory_parts import parts

TOLERANCE = 1e-4


def check_predictor(
    predictor: Predictor,
    state: Any,
    chunks: tuple[Tensor, ...],
    costs: Mapping[str, CostFunction] | None = None,
) -> None:
    """Check the order of a trajectory's axes, and that worlds and samples don't affect each other.

    A world or a sample that is predicted alone must be the slice of the whole prediction along the
    axes that the trajectory declares (:func:`codi_core.predictors.axes_of`).

    Args:
        predictor: the predictor.
        state: the task's state estimate of B worlds. If it has ``of_worlds``, or is a tensor, each
            world is predicted alone as well.
        chunks: one tensor per agent, (B, M, K, A_i), of at least two samples.
        costs: cost functions by name, whose values (B, M) are sliced and compared likewise.
    """
    name, (worlds, samples) = type(predictor).__name__, chunks[0].shape[:2]
    require(samples > 1, f"{name}: chunks of at least two samples are needed; they have {samples}")
    whole = _read(name, predictor.predict(state, chunks), chunks, costs or {})
    for sample in (0, samples - 1):
        rows = slice(sample, sample + 1)
        one = tuple(chunk[:, rows] for chunk in chunks)
        alone = _read(name, predictor.predict(state, one), one, costs or {})
        _compare(f"{name}: sample {sample}", whole, alone, "M", sample)
    if worlds == 1 or not is_divisible(state):
        return
    for world in (0, worlds - 1):
        one = tuple(chunk[world : world + 1] for chunk in chunks)
        prediction = predictor.predict(of_worlds(state, torch.tensor([world])), one)
        alone = _read(name, prediction, one, costs or {})
        _compare(f"{name}: world {world}", whole, alone, "B", world)


Read = Mapping[str, tuple[Tensor, tuple[str, ...]]]
"""Tensors with their leading axes, by name."""


def _read(
    name: str,
    prediction: Prediction,
    chunks: Sequence[Tensor],
    costs: Mapping[str, CostFunction],
) -> Read:
    """What is compared, once its axes have been checked."""
    read = {key: (tensor, axes) for key, tensor, axes in parts(prediction.trajectory)}
    kind = type(prediction.trajectory).__name__
    require(read, f"{name}: the {kind} has no tensor that others may read")
    sizes = dict(zip("BMK", chunks[0].shape[:3], strict=True)) | {"N": len(chunks)}
    for key, (tensor, axes) in read.items():
        wanted = ", ".join(f"{axis} = {sizes[axis]}" if axis in sizes else axis for axis in axes)
        require(
            begins_with(tensor.shape, axes, sizes),
            f"{name}: '{key}' of {kind} has the shape {tuple(tensor.shape)}, which does not begin "
            f"with ({wanted}): put it into this order, or declare its own in {kind}.AXES",
        )
    if prediction.valid is not None:
        read["valid"] = (prediction.valid, ("B", "M"))
    for key, cost in costs.items():
        read[f"cost {key}"] = (cost(prediction.trajectory), ("B", "M"))
    return read


def _compare(what: str, whole: Read, alone: Read, axis: str, index: int) -> None:
    for key, (tensor, axes) in whole.items():
        found = alone[key][0]
        if axis in axes and tensor.shape[axes.index(axis)] > 1:
            tensor = tensor.narrow(axes.index(axis), index, 1)
        require(
            tensor.shape == found.shape,
            f"{what} alone has '{key}' of shape {tuple(found.shape)}; its slice of the whole "
            f"prediction has {tuple(tensor.shape)}",
        )
        require(
            torch.allclose(
                tensor.double(), found.double(), rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True
            ),
            f"{what} alone differs in '{key}' from its slice of the whole prediction along the "
            f"axes {' '.join(axes)}: are they in this order, or do others affect it?",
        )
