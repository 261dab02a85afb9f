"""What a model was trained for: a checkpoint records it, and is refused for anything else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.errors import CheckpointError
from codi_core.host.choices import Choice, parse_choice
from codi_core.training.checkpoint import checkpoint_digest, read_metadata

if TYPE_CHECKING:
    from codi_core.host.records import PlannedFor

GOAL = "goal"
"""Task options of this name, or that begin with it, say what is asked for."""


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen
class Purpose:
    """What a model was trained for, JSON-able.

    Attributes:
        method: the planning method that it belongs to.
        task: the task's name.
        task_options: the values of the task's own options. Those of the goal must be the same where
            the model is used.
        cost: the terms of the cost with their weights, as for ``--cost``.
        predictor: what foresaw the rollouts; another one may foresee those of a run.
        temperature: λ, or None for a model that doesn't depend on it.
        bases: the sha256 of the frozen base policy's checkpoint, by kind of agents; None for a
            policy that came from no file.
    """

    method: str
    task: str
    task_options: Mapping[str, Any]
    cost: tuple[str, ...] = attrs.field(converter=_texts)
    predictor: str
    temperature: float | None
    bases: Mapping[str, str | None]

    @classmethod
    def of(cls, method: str, planned_for: PlannedFor, temperature: float | None) -> Purpose:
        """The purpose of a model for these plans."""
        bases = {
            kind: None if path is None else checkpoint_digest(path)
            for kind, path in planned_for.checkpoints.items()
        }
        return cls(
            method,
            planned_for.task,
            dict(planned_for.task_options),
            planned_for.cost,
            planned_for.predictor,
            temperature,
            bases,
        )

    @classmethod
    def read(cls, path: Path) -> Purpose:
        """The purpose that a checkpoint records.

        Raises:
            CheckpointError: the file is missing or damaged, or records none.
        """
        metadata = read_metadata(path)
        try:
            return cls(**{field.name: metadata[field.name] for field in attrs.fields(cls)})
        except KeyError as error:
            raise CheckpointError(
                f"{path} does not say what it was trained for (it lacks {error}): give a "
                "checkpoint of codi-train-baseline"
            ) from error

    def metadata(self) -> dict[str, Any]:
        """What a checkpoint records of it."""
        return attrs.asdict(self)

    def check(self, path: Path, wanted: Purpose) -> None:
        """Check that a model of this purpose serves another one.

        Args:
            path: the model's checkpoint.
            wanted: what it is asked for.

        Raises:
            CheckpointError: it doesn't; the message names the field that differs.
        """
        for field, mine, other in self._differences(wanted):
            raise CheckpointError(
                f"{path} was trained for {field} {_shown(mine)}, this run has {_shown(other)}: "
                f"train another one with codi-train-baseline {wanted.method}, and give it as "
                f"--method {wanted.method}:checkpoint=PATH"
            )

    def has_bases_of(self, wanted: Purpose) -> bool:
        """Whether both stand on the same base policies."""
        return None not in self.bases.values() and dict(self.bases) == dict(wanted.bases)

    def _differences(self, other: Purpose) -> Iterator[tuple[str, Any, Any]]:
        """The fields that differ, with both values; the most telling ones first."""
        yield from _unequal("the method", self.method, other.method)
        yield from _unequal("the task", self.task, other.task)
        for name in sorted({*self.task_options, *other.task_options}):
            if name.startswith(GOAL):
                both = (purpose.task_options.get(name) for purpose in (self, other))
                yield from _unequal(f"the option '{name}'", *map(_listed, both))
        yield from self._cost_differences(other)
        if not _close(self.temperature, other.temperature):
            yield "the temperature", self.temperature, other.temperature
        if not self.has_bases_of(other):
            yield "the base policies", _digests(self.bases), _digests(other.bases)

    def _cost_differences(self, other: Purpose) -> Iterator[tuple[str, Any, Any]]:
        mine, theirs = _terms(self.cost), _terms(other.cost)
        yield from _unequal("the cost", sorted(mine), sorted(theirs))
        for name in sorted(set(mine) & set(theirs)):
            yield from _unequal(f"the weight of '{name}'", mine[name].weight, theirs[name].weight)
            yield from _unequal(
                f"the options of '{name}'", dict(mine[name].options), dict(theirs[name].options)
            )


def _unequal(field: str, mine: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    if mine != other:
        yield field, mine, other


def _close(mine: float | None, other: float | None) -> bool:
    """Whether two temperatures are one; None fits any."""
    return mine is None or other is None or math.isclose(mine, other, rel_tol=1e-9)


def _terms(cost: tuple[str, ...]) -> dict[str, Choice]:
    parsed = (parse_choice(text, "--cost", weighted=True) for text in cost)
    return {choice.name: choice for choice in parsed}


def _listed(value: Any) -> Any:
    """JSON has lists where options have tuples."""
    return list(value) if isinstance(value, tuple) else value


def _digests(bases: Mapping[str, str | None]) -> dict[str, str]:
    return {kind: "of no file" if name is None else f"{name[:12]}…" for kind, name in bases.items()}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "of no term"
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items()) or "none"
    return str(value)
