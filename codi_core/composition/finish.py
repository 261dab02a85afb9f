"""What planners check before a plan leaves them."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.errors import PlanError
from codi_core.planning import Plan, PlanContext
from codi_core.policies import ProductPolicy


def finish(flat: Tensor, product: ProductPolicy, context: PlanContext) -> Plan:
    """The plan with this flat joint chunk, (B, D).

    Raises:
        PlanError: an action is not finite. No plant may get it.
    """
    chunks = product.decode(flat)
    finite = torch.stack([torch.isfinite(chunk).flatten(1).all(-1) for chunk in chunks]).all(0)
    if not bool(finite.all()):
        raise PlanError(
            f"the planned actions of {int((~finite).sum())} of {len(finite)} worlds are not "
            "finite: either a base policy or its observation is not finite, or the guidance "
            "diverged; against the latter, raise the temperature, scale the cost down, or take a "
            "guidance that needs no gradient"
        )
    return Plan(chunks, flat, context.diagnostics)
