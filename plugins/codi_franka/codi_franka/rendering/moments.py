"""The moments of an episode that tell its story."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.tasks import Trace
from codi_franka.handoff.options import SUCCESS_RADIUS
from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.cell import ARMS

_HELD_DISTANCE = 0.045
"""[m] From the TCP to the cube's centre."""
_HELD_STEPS = 3
"""A shorter touch is no grasp."""


@attrs.frozen
class Moment:
    """A step of an episode and what happens there."""

    step: int
    caption: str


def holding(trace: Trace, box: Box = CUBE) -> NDArray[np.bool_]:
    """Which arm has the cube in its gripper: (T + 1, N).

    Args:
        trace: with ``hand_position``, ``gripper_width`` and ``cube_position``.
        box: what stands for the cube.
    """
    cube = np.asarray(trace["cube_position"], float)
    hands = np.asarray(trace["hand_position"], float)
    width = np.asarray(trace["gripper_width"], float)
    near = np.linalg.norm(hands - cube[:, None], axis=-1) < _HELD_DISTANCE
    least, most = box.holding(above=1.15)
    held: NDArray[np.bool_] = near & (width > least) & (width < most)
    return held


def grasps(trace: Trace, box: Box = CUBE) -> list[tuple[int, int, int]]:
    """When which arm holds the cube: (arm, first step, last step), in the order of time."""
    found = []
    for arm, held in enumerate(holding(trace, box).T):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], held.astype(int), [0]))))
        for start, end in edges.reshape(-1, 2):
            if end - start >= _HELD_STEPS:
                found.append((arm, int(start), int(end) - 1))
    return sorted(found, key=lambda grasp: grasp[1])


def key_moments(trace: Trace, count: int, box: Box = CUBE) -> list[Moment]:
    """At most ``count`` moments: what happens to the cube, and what fills the longest gaps.

    Args:
        trace: with the fields of :func:`holding` and ``goal``.
        count: at least 2.
        box: what stands for the cube.
    """
    last = len(trace["cube_position"]) - 1
    chosen = {0: "start"}
    for step, caption in _events(trace, box):
        if len(chosen) < count - 1:
            chosen.setdefault(step, caption)
    chosen.setdefault(last, "end")
    while len(chosen) < min(count, last + 1):
        steps = sorted(chosen)
        gap = int(np.argmax(np.diff(steps)))
        if steps[gap + 1] - steps[gap] < 2:
            break
        chosen[(steps[gap] + steps[gap + 1]) // 2] = ""
    return [Moment(step, chosen[step]) for step in sorted(chosen)]


def _events(trace: Trace, box: Box) -> list[tuple[int, str]]:
    """What happens to the cube, the most telling first."""
    events: list[tuple[int, str]] = []
    held = grasps(trace, box)
    if held:
        giver, start, _ = held[0]
        events.append((start, f"{ARMS[giver]} arm grasps"))
        taken = next((grasp for grasp in held if grasp[0] != giver), None)
        if taken is not None:
            let_go = max(end for arm, begin, end in held if arm == giver and begin <= taken[1])
            events.append((taken[1], f"{ARMS[taken[0]]} arm grasps"))
            events.append((let_go + 1, f"{ARMS[giver]} arm lets go"))
    reached = _reached(trace)
    if reached is not None:
        events.append((reached, f"within {100 * SUCCESS_RADIUS:.0f} cm of the goal"))
        last = len(trace["cube_position"]) - 1
        events += [
            (end + 1, f"{ARMS[arm]} arm lets go")
            for arm, _, end in reversed(held)
            if reached <= end < last
        ][:1]
    return events


def _reached(trace: Trace) -> int | None:
    gap = np.asarray(trace["cube_position"], float) - np.asarray(trace["goal"], float)
    near = np.flatnonzero(np.linalg.norm(gap, axis=-1) <= SUCCESS_RADIUS)
    return int(near[0]) if len(near) else None
