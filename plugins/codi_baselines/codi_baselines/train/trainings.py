"""The methods that are trained. Light: what a training takes is imported by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from codi_baselines.settings import BaselineSettings
    from codi_core.training.parts import TrainingParts


@attrs.frozen
class TrainedMethod:
    """A planning method that is trained.

    Attributes:
        summary: one line for the help.
        settings_path: ``module:class`` of its settings, which is light.
        parts_path: ``module:function`` that makes what is trained from them.
    """

    summary: str
    settings_path: str
    parts_path: str

    def settings(self) -> type[BaselineSettings]:
        """The class of its settings."""
        found: type[BaselineSettings] = _imported(self.settings_path)
        return found

    def parts(self) -> Callable[[Any], TrainingParts[Any, Any]]:
        """What makes the model, the loss and the batches."""
        found: Callable[[Any], TrainingParts[Any, Any]] = _imported(self.parts_path)
        return found


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(f"codi_baselines.{module}"), name)


_COST_MODEL = ("cost_model.settings:CostModelSettings", "cost_model.training:cost_model_parts")
_FINE_TUNING = "finetuning.training:fine_tuning_parts"

TRAINED: Mapping[str, TrainedMethod] = MappingProxyType(
    {
        "cg-joint": TrainedMethod("a cost model that guides the joint policy", *_COST_MODEL),
        "cg-product": TrainedMethod(
            "a cost model that guides the product of single-agent policies", *_COST_MODEL
        ),
        "dpmd-joint": TrainedMethod(
            "mirror descent from the joint policy",
            "finetuning.settings:MirrorDescentSettings",
            _FINE_TUNING,
        ),
        "sdac-joint": TrainedMethod(
            "a soft diffusion actor-critic from the joint policy",
            "finetuning.settings:SoftActorCriticSettings",
            _FINE_TUNING,
        ),
        "expo-joint": TrainedMethod(
            "the joint policy's own samples, edited and distilled",
            "finetuning.settings:EditAndDistilSettings",
            _FINE_TUNING,
        ),
    }
)
"""By the method's name."""
