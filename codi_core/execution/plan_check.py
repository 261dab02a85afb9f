"""What every plan is checked for, whoever made it."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning import ChunkLayout, Plan

NOT_FINITE = (
    "are not finite: either a base policy or its observation is not finite, or the guidance "
    "diverged; against the latter, raise the temperature, scale the cost down, or take a guidance "
    "that needs no gradient"
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
    if len(plan.chunks) != len(layout.action_sizes):
        raise SpecificationError(
            f"{name} planned chunks for {len(plan.chunks)} agents; there are "
            f"{len(layout.action_sizes)}"
        )
    for agent, (chunk, size) in enumerate(zip(plan.chunks, layout.action_sizes, strict=True)):
        _check_values(f"agent {agent}'s chunk", chunk, (worlds, layout.horizon, size), name)
    _check_values("the flat joint chunk", plan.flat, (worlds, layout.size), name)
    actions = torch.cat([chunk.flatten(1) for chunk in plan.chunks], 1)
    finite = torch.isfinite(actions).all(1) & torch.isfinite(plan.flat).all(1)
    return finite.cpu()


def _check_values(what: str, found: object, expected: tuple[int, ...], name: str) -> None:
    if not isinstance(found, Tensor) or not found.is_floating_point():
        kind = found.dtype if isinstance(found, Tensor) else type(found).__name__
        raise SpecificationError(
            f"{name} planned {what} as {kind}; it must be a tensor of floating-point numbers"
        )
    if tuple(found.shape) != expected:
        raise SpecificationError(
            f"{name} planned {what} with the shape {tuple(found.shape)}; it must be {expected}"
        )
