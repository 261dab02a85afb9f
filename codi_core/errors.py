"""Errors that name the thing and the remedy.

Every error a user can cause derives from :class:`CodiError`; the command line prints its message
without a traceback. :class:`UsageError` is for mistakes on the command line and exits with 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

OUT_OF_MEMORY = "there is not enough memory for this"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, on the host or on another device."""
    # torch has one class for devices, and no class but a text for the host.
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (
            type(error).__name__ == "OutOfMemoryError"
            or "can't allocate memory" in str(error)
            or "out of memory" in str(error)
        )
    )


class CodiError(Exception):
    """A failure with a message meant for the user; the command line exits with 1."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors come back from other processes, whatever their classes are made with."""
        return _restored, (type(self), self.args)


def _restored(kind: type[CodiError], arguments: tuple[Any, ...]) -> CodiError:
    return kind.__new__(kind, *arguments)


class UsageError(CodiError):
    """A mistake in what was asked for (unknown name, bad value); the command line exits with 2."""

    exit_code = 2


class SpecificationError(CodiError):
    """Two parts that do not fit together: shapes, horizons, rates, observation names."""

    exit_code = 2


class CheckpointError(CodiError):
    """A checkpoint that is missing, corrupt, or made for something else."""

    exit_code = 2


class DatasetError(CodiError):
    """Demonstration data that is missing, incomplete, or of another layout."""

    exit_code = 2


class PluginError(CodiError):
    """A plugin that cannot be loaded, or two plugins that clash."""


class MissingExtraError(CodiError):
    """A package that an optional part needs is not installed.

    Args:
        purpose: what needs it.
        extra: the extra of codi-core that brings it.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} need packages that are not installed: pip install 'codi-core[{extra}]'"
        )


class GridError(CodiError):
    """Rows of a grid that could not be run, although the others have been."""


class PlanError(CodiError):
    """A planner that raised, or planned actions that are not finite numbers."""

    exit_code = 2


class PlanWorkerError(CodiError):
    """A plan worker that died or does not answer."""


class PlantError(CodiError):
    """A plant that failed, does not answer, or whose time went wrong."""


class PartError(CodiError):
    """A part of a plan, such as a posterior or a predictor, that raised."""

    exit_code = 2


class NotFiniteError(PartError):
    """A part of a plan that returned numbers that are not finite."""


class CostError(PartError):
    """A cost function that raised, or returned something that is not a (B, M) tensor."""


class EpisodeError(CodiError):
    """A part of somebody's, such as a method or an environment, that raised in every episode.

    Or metrics that raised when they summarised episodes.
    """

    exit_code = 2


class LocalityError(SpecificationError):
    """A guidance needs terms of a cost that does not declare its locality.

    Args:
        names: the costs that lack it.
    """

    def __init__(self, names: Sequence[str]) -> None:
        listed = ", ".join(f"'{name}'" for name in names)
        super().__init__(
            f"no locality is declared by the cost {listed}, and the guidance 'factored' needs the "
            "terms that involve each agent: use --guidance monte-carlo, or derive the cost from "
            "codi_core.LocalCost"
        )
