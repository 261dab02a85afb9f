"""The settings that the trainings of all baselines share. Light: options are made from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.quantities import whole
from codi_core.training.settings import DATA, TrainingSettings, training_option

if TYPE_CHECKING:
    from codi_core.experiments import Experiment

PLANS = frozenset({"policy", "checkpoint", "predictor", "cost", "temperature"})
"""The options of ``codi-run`` that say what plans a method is trained for."""


def _hidden(**settings: Any) -> Any:
    return attrs.field(kw_only=True, metadata={"hidden": True}, **settings)


@attrs.frozen
class BaselineSettings(TrainingSettings):
    """What every training of a baseline has: the plans that it is for, and demonstrations of them.

    Attributes:
        method: the planning method that is trained.
        task: the task's name.
        task_options: the values of the task's own options.
        policy: the frozen base policies.
        checkpoint: their checkpoint, or None for the shipped one.
        predictor: what foresees rollouts.
        cost: the terms of the cost.
        temperature: λ.
        episodes: how many of the demonstrations, from the first on; None takes all.

    Raises:
        UsageError: a value out of range.
    """

    method: str = _hidden()
    task: str = _hidden()
    task_options: Mapping[str, Any] = _hidden()
    policy: str = _hidden()
    checkpoint: str | None = _hidden()
    predictor: str = _hidden()
    cost: tuple[str, ...] = _hidden(converter=tuple)
    temperature: float = _hidden()
    episodes: int | None = training_option(
        DATA,
        "how many of the demonstrations, from the first on (default: all)",
        None,
        type=whole(1),
        metavar="N",
    )

    def experiment(self) -> Experiment:
        """The task and everything that plans are made from."""
        from codi_core.experiments import prepare

        chosen = {name: getattr(self, name) for name in sorted(PLANS)}
        return prepare(
            self.task,
            self.task_options,
            method=self.method,
            device=self.device,
            seed=self.seed,
            physics_threads=self.threads,
            **chosen,
        )
