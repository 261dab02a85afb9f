"""What environments do with actions that are no numbers."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


def finite_actions(actions: Tensor, name: str) -> Tensor:
    """Actions that a simulation can go on with; what had to be changed is counted and said.

    Plans are checked where they are made, so only actions that come from elsewhere are concerned.

    Args:
        actions: of all worlds, (B, ...).
        name: how the warning calls the environment.

    Returns:
        The same, with 0 for NaN and the largest numbers for infinities.
    """
    lost = ~torch.isfinite(actions).flatten(1).all(1)
    if bool(lost.any()):
        warnings.warn(
            f"{name} was given actions that are not finite in {int(lost.sum())} of {len(lost)} "
            "worlds: it takes NaN for 0 and infinities for the largest numbers; look at what made "
            "them",
            RuntimeWarning,
            stacklevel=3,
        )
    return torch.nan_to_num(actions)
