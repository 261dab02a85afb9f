"""Predictors: from a state and joint actions to a trajectory."""

from codi_core.predictors.axes import axes_of
from codi_core.predictors.base import Prediction, Predictor, SeparablePredictor

__all__ = ["Prediction", "Predictor", "SeparablePredictor", "axes_of"]
