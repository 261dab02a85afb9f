"""Errors that name the thing and the remedy.

Every error a user can cause derives from :class:`CodiError`; the command line prints its message
without a traceback. :class:`UsageError` is for mistakes on the command line and exits with 2.
"""

from __future__ import annotations


class CodiError(Exception):
    """A failure with a message meant for the user; the command line exits with 1."""

    exit_code = 1


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


class CostError(CodiError):
    """A cost function that raised, or returned something that is not a (B, M) tensor."""
