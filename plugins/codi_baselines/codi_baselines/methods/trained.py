"""Checkpoints of methods that are trained: where they are, and whether they fit."""

from __future__ import annotations

from pathlib import Path

from codi_baselines.purpose import Purpose
from codi_core.errors import CheckpointError, SpecificationError
from codi_core.host.records import MethodParts

SHIPPED = Path(__file__).parents[1] / "checkpoints"
"""Checkpoints come along as ``checkpoints/TASK/NAME.safetensors``."""


def find_trained(parts: MethodParts, method: str, checkpoint: Path | str | None = None) -> Path:
    """The checkpoint of a trained method that fits what is planned for.

    Args:
        parts: what the planner is made from.
        method: the method's name.
        checkpoint: the user's; None looks among the shipped ones of the task.

    Raises:
        CheckpointError: none is there, or it was trained for something else; the message names the
            field that differs.
        SpecificationError: nobody says what is planned for.
    """
    if parts.planned_for is None:
        raise SpecificationError(
            f"method '{method}' was trained for one task, goal and cost, and must know what is "
            "planned for: make its planner with codi_core.experiments"
        )
    wanted = Purpose.of(method, parts.planned_for, parts.temperature)
    path = Path(checkpoint) if checkpoint is not None else _shipped(wanted)
    Purpose.read(path).check(path, wanted)
    return path


def _shipped(wanted: Purpose) -> Path:
    """The method's shipped checkpoint; if there are several, one on the same base policies."""
    files = sorted((SHIPPED / wanted.task).glob("*.safetensors"))
    found = {
        path: purpose for path in files if (purpose := Purpose.read(path)).method == wanted.method
    }
    if not found:
        raise CheckpointError(
            f"no checkpoint of method '{wanted.method}' is shipped for task '{wanted.task}': train "
            f"one with codi-train-baseline {wanted.method}, and give it as --method "
            f"{wanted.method}:checkpoint=PATH"
        )
    fitting = [path for path, purpose in found.items() if purpose.has_bases_of(wanted)]
    return (fitting or list(found))[0]
