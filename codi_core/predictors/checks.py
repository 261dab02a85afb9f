"""What a predictor returns is looked at where it is received: types and shapes, never values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning.checks import check_kind, described, name_of
from codi_core.predictors.axes import begins_with, parts
from codi_core.predictors.base import Prediction, Predictor


def check_prediction(prediction: object, shape: Sequence[int], predictor: Predictor) -> Prediction:
    """Check that a prediction is one, and that it says for each sample whether it is valid.

    Args:
        prediction: what the predictor returned.
        shape: (B, M), the numbers of worlds and samples that it was asked for.
        predictor: the predictor.

    Raises:
        SpecificationError: it is something else; the message names the predictor.
    """
    check_kind(prediction, Prediction, predictor, ".predict()")
    assert isinstance(prediction, Prediction)
    if prediction.trajectory is None:
        raise SpecificationError(f"{name_of(predictor)}.predict() returned no trajectory")
    valid: object = prediction.valid
    if valid is None:
        return prediction
    if not isinstance(valid, Tensor) or valid.dtype != torch.bool or valid.shape != shape:
        raise SpecificationError(
            f"{name_of(predictor)}.predict() returned `valid` as {described(valid)}; it must be a "
            f"tensor of booleans of the shape {tuple(shape)} = (worlds, samples)"
        )
    return prediction


def check_trajectory(trajectory: object, shape: Sequence[int], predictor: Predictor) -> None:
    """Check that a trajectory is about all worlds and samples; for costs that can't do with it.

    Raises:
        SpecificationError: the axes of worlds and samples of a tensor in it, which are where its
            class says (:func:`codi_core.predictors.axes_of`), have other lengths.
    """
    sizes = dict(zip("BM", shape, strict=True))
    for name, tensor, axes in parts(trajectory):
        if not begins_with(tensor.shape, axes, sizes):
            raise SpecificationError(
                f"{name_of(predictor)}.predict() returned a {type(trajectory).__name__} with "
                f"'{name}' of the shape {tuple(tensor.shape)}; it must begin with the axes "
                f"{' '.join(axes)}, for {sizes['B']} worlds B and {sizes['M']} samples M"
            )
