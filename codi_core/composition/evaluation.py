"""From flat samples to costs: decode once, predict once, and cost that one trajectory."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.costs import CostFunction
from codi_core.errors import CostError
from codi_core.planning import Evaluate, PlanContext
from codi_core.policies import ProductPolicy
from codi_core.predictors import Predictor


def make_evaluate(
    product: ProductPolicy, predictor: Predictor, cost: CostFunction, context: PlanContext
) -> Evaluate:
    """Build J of flat joint chunks for one plan.

    Samples whose prediction failed cost +inf, samples whose cost has no value are NaN. Both are
    counted in the plan's diagnostics.
    """
    diagnostics = context.diagnostics

    def evaluate(flat: Tensor) -> Tensor:
        with diagnostics.stage("predict"):
            prediction = predictor.predict(context.state, product.decode(flat))
        with diagnostics.stage("cost"):
            values = _checked(cost(prediction.trajectory), flat, cost)
            lost = torch.isnan(values)
            diagnostics.count("nan_costs", int(lost.sum()))
            diagnostics.count("rollouts", values.numel())
            if prediction.valid is not None:
                failed = ~prediction.valid
                diagnostics.count("failed_predictions", int(failed.sum()))
                values = values.masked_fill(failed, torch.inf)
        return values

    return evaluate


def _checked(values: Tensor, flat: Tensor, cost: CostFunction) -> Tensor:
    if values.shape != flat.shape[:-1]:
        raise CostError(
            f"the cost {cost} returned shape {tuple(values.shape)}; it must return one value for "
            f"each of the {tuple(flat.shape[:-1])} = (worlds, samples) trajectories"
        )
    return values
