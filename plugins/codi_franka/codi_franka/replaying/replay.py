"""Executed actions once more, from the recorded beginning: where does a simulation lead?"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from codi_core.data import DemonstrationDataset
from codi_core.errors import DatasetError, UsageError
from codi_core.tasks import EpisodeKey, Trace, recorded_feature
from codi_franka.action import RATE_HZ
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.frames import restore
from codi_franka.observation import SHAPES
from codi_franka.robot.cell import ARMS
from codi_franka.robot.frames import BaseFrames
from codi_franka.state import FrankaState, tcp_in_world

_STATE = (
    "joint_position", "joint_velocity", "gripper_width", "cube_position", "cube_quaternion",
    "cube_velocity",
)  # fmt: skip
FEATURES = (
    *(f"state.{name}" for name in (*_STATE, "goal")),
    *(f"observation.{arm}.{name.removeprefix('observation.')}" for arm in ARMS for name in SHAPES),
    "action",
)
"""What is read of a recording."""


@attrs.frozen(eq=False)
class Replay:
    """An episode as it was recorded, and as it was simulated from its first frame.

    Attributes:
        recorded: the recorded state estimates, as a renderer takes them, T + 1 rows.
        simulated: the simulation's true states, likewise.
    """

    recorded: Trace
    simulated: Trace

    @property
    def seconds(self) -> NDArray[np.float64]:
        """The time of each row, (T + 1,) [s]."""
        return np.arange(len(self.recorded["cube_position"])) / RATE_HZ

    def distances(self) -> dict[str, NDArray[np.float64]]:
        """How far the simulation is from the recording, (T + 1,) [m]: of the cube and the hands."""
        cube, hands = (
            np.linalg.norm(
                np.asarray(self.recorded[name], float) - np.asarray(self.simulated[name], float),
                axis=-1,
            )
            for name in ("cube_position", "hand_position")
        )
        return {"cube": cube, **dict(zip((f"{arm} hand" for arm in ARMS), hands.T, strict=True))}


def replay(
    data: DemonstrationDataset,
    number: int,
    environment: FrankaEnvironment,
    steps: int | None = None,
) -> Replay:
    """Drive a simulation by the recorded actions of one episode.

    It begins at the first frame's state estimate. The last frame's action is left out, because
    nobody recorded where it led.

    Args:
        data: a recording, as of ``codi-run --record``, with the features :data:`FEATURES`.
        number: of the episode in it.
        environment: simulates; its goal is the options', and the recorded one is taken instead.
        steps: how many control steps at most; None for all.

    Raises:
        UsageError: there is no such episode.
        DatasetError: a feature is missing, or the frames are not those of this task.
    """
    frames = _frames(data, number, steps)
    actions = recorded_feature(frames, "action", of="franka-handoff")
    if actions.shape[-1] != 7 * len(ARMS) or data.fps != RATE_HZ:
        raise DatasetError(
            f"{data.root} has actions of {actions.shape[-1]} numbers at {data.fps:g} Hz; those of "
            f"both arms have {7 * len(ARMS)}, at {RATE_HZ:g} Hz"
        )
    recorded, _ = restore(environment.options, frames)
    recorded = attrs.evolve(recorded, goal=frames["state.goal"])
    environment.reset([EpisodeKey(0, 0)])
    environment.restore(recorded.of_worlds(torch.tensor([0])))
    seen = [environment.state]
    for action in actions[:-1].unflatten(-1, (len(ARMS), 7)):
        environment.step(tuple(action.unsqueeze(1)))
        seen.append(environment.state)
    simulated = FrankaState(
        **{
            field.name: torch.cat([getattr(state, field.name) for state in seen])
            for field in attrs.fields(FrankaState)
        }
    )
    return Replay(_trace(recorded), _trace(simulated))


def _frames(data: DemonstrationDataset, number: int, steps: int | None) -> dict[str, torch.Tensor]:
    if not 0 <= number < data.episodes:
        raise UsageError(f"{data.root} has no episode {number}: it has {data.episodes}, from 0 on")
    start, end = (int(frame) for frame in data.episode_starts[number : number + 2])
    end = end if steps is None else min(end, start + steps + 1)
    return {
        name: torch.from_numpy(np.array(values[start:end])) for name, values in data.arrays.items()
    }


def _trace(state: FrankaState) -> dict[str, NDArray[Any]]:
    """States as pictures are made of them."""
    return {
        "joint_position": state.joint_position.numpy(),
        "gripper_width": state.gripper_width.numpy(),
        "cube_position": state.cube_position.numpy(),
        "cube_quaternion": state.cube_quaternion.numpy(),
        "goal": np.asarray(state.goal),
        "hand_position": tcp_in_world(state, BaseFrames.of(ARMS)).numpy(),
    }
