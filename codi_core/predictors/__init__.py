"""Predictors: from a state and joint actions to a trajectory."""

from codi_core.predictors.base import Prediction, Predictor, axes_of

__all__ = ["Prediction", "Predictor", "axes_of"]
