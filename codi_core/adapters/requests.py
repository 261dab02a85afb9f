"""What users of gymnasium and PettingZoo ask of environments of tasks, checked where it enters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codi_core.errors import UsageError


def action_array(
    action: Any, shape: tuple[int, ...], what: str = "an action"
) -> NDArray[np.float32]:
    """An action as finite numbers of the shape that is needed.

    Args:
        action: what was given; nothing is broadcast to the shape.
        shape: of the action space.
        what: how messages call it.

    Raises:
        UsageError: it has another shape, or is not made of finite real numbers.
    """
    try:
        numbers = np.asarray(action)
        if action is None or numbers.dtype.kind not in "biuf":
            raise TypeError
        array = numbers.astype(np.float32)
    except (TypeError, ValueError) as error:
        kind = "None" if action is None else type(action).__name__
        raise UsageError(f"{what} is an array {shape} of real numbers, not {kind}") from error
    if array.shape != shape:
        raise UsageError(f"{what} has the shape {shape}, not {array.shape}")
    if not np.isfinite(array).all():
        raise UsageError(f"{what} has a number that is not finite: {array.tolist()}")
    return array


def check_agents(actions: Mapping[str, Any], agents: Collection[str]) -> None:
    """Check that there is one action for each agent that is there.

    Raises:
        UsageError: some have none, or there are others; the message names them.
    """
    if not isinstance(actions, Mapping):
        raise UsageError(f"actions are a dictionary by agent, not {type(actions).__name__}")
    missing = [agent for agent in agents if agent not in actions]
    unknown = [str(agent) for agent in actions if agent not in agents]
    if missing:
        raise UsageError(f"there is no action for {', '.join(missing)}")
    if unknown:
        raise UsageError(f"there is no agent {', '.join(unknown)}; there are {', '.join(agents)}")


def refuse_options(options: Mapping[str, Any] | None, what: str) -> None:
    """Refuse options of ``reset`` for an environment that has none.

    Raises:
        UsageError: some were given.
    """
    if options:
        raise UsageError(
            f"reset knows no options {sorted(map(str, options))}: {what}'s options are given when "
            "it is made"
        )
