"""CG-Joint and CG-Product (Sec. VII-B, App. D-A): the gradient of a trained cost model guides."""

from __future__ import annotations

from codi_baselines.cost_model.checkpoint import load_cost_model
from codi_baselines.cost_model.guidance import CostModelGuidance
from codi_baselines.methods.trained import find_trained
from codi_core.composition import CoordinatedPolicy
from codi_core.host.records import MethodParts
from codi_core.planning import Planner


def classifier_guidance(
    method: str,
    parts: MethodParts,
    checkpoint: str | None,
    scale: float,
    lowest: float,
    highest: float,
) -> Planner:
    """The planner of a method that a cost model guides.

    Args:
        method: "cg-joint" or "cg-product".
        parts: what the planner is made from.
        checkpoint: of the cost model; None looks among the shipped ones.
        scale: what the gradient is multiplied with; 1 is Eq. 49.
        lowest: the lowest noise level that is guided.
        highest: the highest one.

    Raises:
        CheckpointError: no cost model is there, or it was trained for something else.
    """
    path = find_trained(parts, method, checkpoint)
    product = parts.product
    model = load_cost_model(path, product).to(product.device)
    guidance = CostModelGuidance(model, product, parts.temperature, scale, lowest, highest)
    return CoordinatedPolicy(product, guidance, parts.sampler, parts.predictor, parts.cost)
