"""What every plan is checked for, whoever made it."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning import ChunkLayout, Plan
from codi_core.planning.checks import check_values, described

REMEDY = (
    "against a guidance that diverges, raise the temperature, scale the cost down, or take a "
    "guidance that needs no gradient"
)
NOT_FINITE = (
    "are not finite: either a base policy or its observation is not finite, or the guidance "
    f"diverged; {REMEDY}"
)


def check_plan(plan: object, layout: ChunkLayout, worlds: int, name: str) -> Tensor:
    """Check that a plan has what its planner's layout promises.

    Args:
        plan: the plan.
        layout: the planner's layout.
        worlds: for how many worlds b the planner was asked to plan.
        name: the planner's name, for messages.

    Returns:
        For which worlds all actions are finite, (b,) booleans on the CPU.

    Raises:
        SpecificationError: something is missing, has another shape, or is no tensor of floats.
    """
    if not isinstance(plan, Plan):
        raise SpecificationError(f"{name}.plan() returned a {type(plan).__name__}, not a Plan")
    chunks: object = plan.chunks
    if not isinstance(chunks, list | tuple):
        raise SpecificationError(
            f"{name} planned {described(chunks)} for chunks; there must be a tuple of one an agent"
        )
    if len(plan.chunks) != len(layout.action_sizes):
        raise SpecificationError(
            f"{name} planned chunks for {len(plan.chunks)} agents; there are "
            f"{len(layout.action_sizes)}"
        )
    for agent, (chunk, size) in enumerate(zip(plan.chunks, layout.action_sizes, strict=True)):
        shape = (worlds, layout.horizon, size)
        check_values(chunk, shape, name, f" planned agent {agent}'s chunk")
    check_values(plan.flat, (worlds, layout.size), name, " planned the flat joint chunk")
    actions = torch.cat(list(plan.chunks), -1)
    finite = torch.isfinite(actions).flatten(1).all(1) & torch.isfinite(plan.flat).all(1)
    return finite.cpu()
