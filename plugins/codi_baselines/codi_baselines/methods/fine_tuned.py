"""Joint policies that were fine-tuned, sampled without guidance."""

from __future__ import annotations

import attrs

from codi_baselines.finetuning.residual import frozen_base, load_residual
from codi_baselines.methods.trained import find_trained
from codi_core.composition import CoordinatedPolicy
from codi_core.guidance import NoGuidance
from codi_core.host.records import MethodParts
from codi_core.planning import Planner
from codi_core.policies import ProductPolicy


def fine_tuned(method: str, parts: MethodParts, checkpoint: str | None = None) -> Planner:
    """A planner that samples a fine-tuned joint policy.

    Args:
        method: the method that it was fine-tuned by.
        parts: the joint base policy, the sampler, and what is planned for.
        checkpoint: the residual's; None takes the shipped one.

    Raises:
        CheckpointError: it is missing, or was trained for something else.
        SpecificationError: the base policies are no joint policy.
    """
    base = frozen_base(parts.product)
    path = find_trained(parts, method, checkpoint)
    policy = load_residual(path, base).to(base.normaliser.mean)
    factor = attrs.evolve(parts.product.factors[0], policy=policy)
    return CoordinatedPolicy(
        ProductPolicy([factor], parts.product.precision),
        NoGuidance(),
        parts.sampler,
        parts.predictor,
        parts.cost,
    )
