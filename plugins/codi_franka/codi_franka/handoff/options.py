"""The task's own options."""

from __future__ import annotations

import math
from typing import Any

import attrs

from codi_core.errors import UsageError
from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.cell import TABLE_SIZE

DEFAULT_GOAL = (0.45, 0.0)
SUCCESS_RADIUS = 0.15
"""[m] How near the cube must come to the goal (the paper's tolerance)."""
GOAL_CLEARANCE = 0.2
"""[m] How far from the goal random starts are at least."""


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _maybe_floats(values: Any) -> tuple[float, ...] | None:
    return None if values is None else _floats(values)


def _on_table(_: object, attribute: Any, value: tuple[float, ...] | None) -> None:
    if value is None:
        return
    count = attribute.metadata["nargs"]
    if len(value) != count or not all(map(math.isfinite, value)):
        given = " ".join(map(str, value))
        raise UsageError(f"--{attribute.name}: must be {count} finite numbers, not {given}")
    half_x, half_y = TABLE_SIZE[0] / 2, TABLE_SIZE[1] / 2
    if not (abs(value[0]) <= half_x and abs(value[1]) <= half_y):
        raise UsageError(
            f"--{attribute.name} {value[0]:g} {value[1]:g} is not on the table: X must be within "
            f"±{half_x:g} m and Y within ±{half_y:g} m (the origin is the table's centre)"
        )


def _a_box(_: object, attribute: Any, value: tuple[float, ...] | None) -> None:
    try:
        _box(value)
    except ValueError as error:
        raise UsageError(f"--{attribute.name}: {error}") from error


def _box(millimetres: tuple[float, ...] | None) -> Box:
    return CUBE if millimetres is None else Box.of_millimetres(millimetres)


@attrs.frozen
class HandoffOptions:
    """Options of ``franka-handoff``."""

    goal: tuple[float, float] = attrs.field(
        default=DEFAULT_GOAL,
        converter=_floats,
        validator=_on_table,
        metadata={
            "help": "where the cube should be [m], world frame",
            "nargs": 2,
            "metavar": ("X", "Y"),
        },
    )
    start: tuple[float, float, float] | None = attrs.field(
        default=None,
        converter=_maybe_floats,
        validator=_on_table,
        metadata={
            "help": "where the cube starts [m, m, rad], world frame (default: a random place that "
            "an arm reaches)",
            "nargs": 3,
            "metavar": ("X", "Y", "YAW"),
        },
    )
    randomize: bool = attrs.field(
        default=True,
        metadata={"help": "vary the cube's mass and friction, and add noise to its tracking"},
    )
    guard: bool = attrs.field(
        default=True,
        metadata={"help": "stop arms that would run into each other, as a cell's controller does"},
    )
    box: tuple[float, float, float] | None = attrs.field(
        default=None,
        converter=_maybe_floats,
        validator=_a_box,
        metadata={
            "help": "with --driver, the edges of what is handed over instead of the cube [mm]; it "
            "stands on the table with H upwards (default: 50 50 50)",
            "nargs": 3,
            "metavar": ("L", "W", "H"),
        },
    )

    @property
    def handed(self) -> Box:
        """What is handed over."""
        return _box(self.box)

    @property
    def target(self) -> tuple[float, float, float]:
        """Where its centre should be [m], world frame."""
        return (*self.goal, self.handed.standing)
