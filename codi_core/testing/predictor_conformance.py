"""Checks that a predictor foresees each sample of each world on its own, in the declared order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from codi_core.costs import CostFunction, has_locality, local_terms
from codi_core.execution.world_selection import is_divisible, of_worlds
from codi_core.predictors import Prediction, Predictor, SeparablePredictor
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
    axes that the trajectory declares (:func:`codi_core.predictors.axes_of`). What a
    :class:`~codi_core.predictors.SeparablePredictor` puts together must be what it foresees for
    the actions that belong to that.

    Args:
        predictor: the predictor.
        state: the task's state estimate of B worlds. If it has ``of_worlds``, or is a tensor, each
            world is predicted alone as well.
        chunks: one tensor per agent, (B, M, K, A_i), of at least two samples.
        costs: cost functions by name, whose values (B, M) are sliced and compared likewise. Of
            what is put together local ones' terms are compared that involve agents that move.
    """
    name, (worlds, samples) = type(predictor).__name__, chunks[0].shape[:2]
    require(samples > 1, f"{name}: chunks of at least two samples are needed; they have {samples}")
    whole = _read(name, predictor.predict(state, chunks), chunks, costs or {})
    for sample in (0, samples - 1):
        rows = slice(sample, sample + 1)
        one = tuple(chunk[:, rows] for chunk in chunks)
        alone = _read(name, predictor.predict(state, one), one, costs or {})
        _compare(f"{name}: sample {sample}", whole, alone, "M", sample)
    if isinstance(predictor, SeparablePredictor):
        _check_recombined(predictor, state, chunks, costs or {})
    if worlds == 1 or not is_divisible(state):
        return
    for world in (0, worlds - 1):
        one = tuple(chunk[world : world + 1] for chunk in chunks)
        prediction = predictor.predict(of_worlds(state, torch.tensor([world])), one)
        alone = _read(name, prediction, one, costs or {})
        _compare(f"{name}: world {world}", whole, alone, "B", world)


def _check_recombined(
    predictor: SeparablePredictor,
    state: Any,
    chunks: tuple[Tensor, ...],
    costs: Mapping[str, CostFunction],
) -> None:
    """Every second agent moves, and the others do what they did in a sample of their own each."""
    name, (worlds, samples), agents = type(predictor).__name__, chunks[0].shape[:2], len(chunks)
    numbers = torch.arange(worlds * agents).reshape(worlds, agents) % samples
    moving = (torch.arange(agents) + torch.arange(worlds).unsqueeze(-1)) % 2 == 0
    world = torch.arange(worlds)
    other = tuple(
        torch.where(which[:, None, None, None], chunk, chunk[world, number].unsqueeze(1))
        for chunk, number, which in zip(chunks, numbers.unbind(-1), moving.unbind(-1), strict=True)
    )
    foreseen = predictor.predict(state, chunks)
    require(foreseen.valid is None, f"{name}: a separable predictor's samples are never invalid")
    found = predictor.recombine(foreseen.trajectory, numbers, moving)
    wanted = predictor.predict(state, other).trajectory
    local = {key: cost for key, cost in costs.items() if has_locality(cost)}

    def read(trajectory: Any) -> Read:
        tensors = {key: (tensor, axes) for key, tensor, axes in parts(trajectory)}
        for key, cost in local.items():
            near = local_terms(cost, trajectory).involving(agents)
            tensors[f"cost {key}"] = (near * moving.unsqueeze(-1), ("B", "N", "M"))
        return tensors

    _compare_all(
        read(wanted),
        read(found),
        f"{name}.recombine() has",
        "the prediction of these actions has",
        f"{name}.recombine() differs in '{{}}' from the prediction of the same actions: do other "
        "agents' actions bear on it?",
    )


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
    slices = {
        key: (
            tensor.narrow(axes.index(axis), index, 1)
            if axis in axes and tensor.shape[axes.index(axis)] > 1
            else tensor,
            axes,
        )
        for key, (tensor, axes) in whole.items()
    }
    _compare_all(
        slices,
        alone,
        f"{what} alone has",
        "its slice of the whole prediction has",
        f"{what} alone differs in '{{}}' from its slice of the whole prediction along the axes "
        "{}: are they in this order, or do others affect it?",
    )


def _compare_all(wanted: Read, found: Read, has: str, other_has: str, differs: str) -> None:
    """Compare tensors of the same names.

    Args:
        wanted: what they should be.
        found: what they are.
        has: "this has", of what was found.
        other_has: the same of what was wanted.
        differs: what is said of a difference, with places for the name and the axes.
    """
    for key, (tensor, axes) in wanted.items():
        other = found[key][0]
        require(
            tensor.shape == other.shape,
            f"{has} '{key}' of shape {tuple(other.shape)}; {other_has} {tuple(tensor.shape)}",
        )
        require(
            torch.allclose(
                tensor.double(), other.double(), rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True
            ),
            differs.format(key, " ".join(axes)),
        )
