"""Two real arms as the plant of ``franka-handoff``."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.errors import PlantError
from codi_core.tasks import Plant, Step
from codi_franka.action import RATE_HZ
from codi_franka.geometry import quaternion_to_matrix
from codi_franka.handoff.environment import FALLEN
from codi_franka.handoff.options import SUCCESS_RADIUS, HandoffOptions
from codi_franka.handoff.starts import left_only
from codi_franka.hardware.arms.gripper_worker import GripperWorker
from codi_franka.hardware.arms.link import ArmLink
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.cube import CubeSource, Hands
from codi_franka.hardware.motion.action_stream import ActionStream, Array, Descents
from codi_franka.hardware.motion.landing import Landing
from codi_franka.hardware.motion.looking_around import LookingAround
from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.simulated_cell import Witness
from codi_franka.hardware.stream import Judge, Stream, StreamSettings
from codi_franka.hardware.yielding import Yielding
from codi_franka.observation import observe
from codi_franka.robot.cell import ARMS
from codi_franka.robot.clearance import arm_clearance, arm_points
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.state import FrankaState, hands_in_base
from codi_franka.vision.estimate import CubeEstimate, CubeStatus

TO_REST = 2.0
"""[s] Within which both arms must have come to rest; they do in a tenth of that."""
STATUSES = tuple(CubeStatus)
"""The order in which recordings number what an estimate rests on."""


@attrs.frozen(eq=False)
class Cell:
    """What a plant is made of, connected and at rest.

    Attributes:
        arms: left and right.
        hands: the workers of their hands.
        cube: where the cube is.
        judge: the safety layer.
        clock: the arms' seconds.
        stream: how the stream runs.
        witness: what knows where the cube really is, of simulated arms.
        looks_around: whether arms look for a cube that is lost; else they wait.
    """

    arms: Sequence[ArmLink]
    hands: Sequence[GripperWorker]
    cube: CubeSource
    judge: Judge
    clock: ArmClock
    stream: StreamSettings
    witness: Witness | None = None
    looks_around: bool = False


class FrankaPlant(Plant):
    """Drives two arms; one world. While nobody knows where the cube is, they wait or look around.

    Its events are those of the environment, as well as they can be measured, and besides:
    ``force_n`` (B, 2) (the largest external force at each hand since the last control step),
    ``rejections`` (B, R) (how many of the stream's commands since then the safety layer has bent or
    refused, by :data:`~codi_franka.hardware.stream.REASONS`), ``stream_gap_s`` (B,) (the longest
    time between two commands), ``tripped`` and ``halts`` (B,) (how many errors arms have reported
    so far, and how often the safety layer has stopped both), ``recovered`` (B,) (how many of all
    these the run has gone on from), ``cube_status``
    (B,) (the place in :class:`~codi_franka.vision.estimate.CubeStatus`), ``cube_age_s`` (B,) and
    ``off_table`` (B,): ``failed`` is never told, since somebody may put the cube back. A simulated
    cell's witness adds ``cube_error_m``, ``cube_error_rad`` and ``cell_time_s`` (B,), and may end
    the run.

    Args:
        cell: what it is made of.
        options: the task's own.
    """

    def __init__(self, cell: Cell, options: HandoffOptions) -> None:
        self._actions = ActionStream()
        clock = cell.clock.of_plant()
        super().__init__(clock, patience=cell.clock.slowdown, lead=self._actions.lead)
        self._cell = cell
        self._yield, self._landing = Yielding(), Landing(options.handed)
        self._goal, self._box = torch.tensor([options.target]), options.handed
        self._bases = BaseFrames.of(ARMS)
        self._left_only: bool | None = None
        self._known: CubeEstimate | None = None
        self._descents: Descents | None = None
        self._look = LookingAround() if cell.looks_around else None
        self._waiting_since: float | None = None
        self._until = -float("inf")
        self._succeeded = False
        self._stream = Stream(cell.arms, self._wanted, cell.judge, cell.clock, cell.stream)

    # -- the stream's thread ----------------------------------------------------------------------

    def _wanted(self, readings: Sequence[ArmReading]) -> NDArray[np.float64]:
        now = self.clock.now()
        since = self._waiting_since
        if since is not None and self._look is not None:
            return self._yield(self._look(now - since, readings), readings)
        if since is not None or now >= self._until:
            # Not even towards home, as the controller pulls an arm that is wanted to stand still.
            return np.zeros((len(ARMS), 7))
        for hand, width in zip(self._cell.hands, self._actions.widths(now), strict=True):
            hand.want(float(width))
        wanted = self._actions.wanted(now, readings, self._descents)
        return self._yield(wanted, readings)

    # -- the plant's thread -----------------------------------------------------------------------

    def _follow(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
        if chunks is not None:
            self._actions.follow(chunks, start, self.clock.now())
            self._until = start + chunks[0].shape[1] / RATE_HZ + self._actions.lead
            return
        self._stream.stop("the plant was asked to stop")
        if not self._stream.join(TO_REST):
            raise PlantError(
                f"the arms have not come to rest within {TO_REST:g} s: press the stop button"
            )

    def _observe(self, until: float) -> Step:
        self._check()
        readings, now = self._stream.readings, self.clock.now()
        arms = _arms(readings, [hand.width() for hand in self._cell.hands])
        hands = hands_in_base(arms)
        looked = self._cell.clock.seconds()
        estimate = self._locate(looked, _seen_hands(arms, hands, self._cell.hands))
        state = attrs.evolve(
            arms,
            cube_position=_tensor(estimate.pose[:3]),
            cube_quaternion=_tensor(estimate.pose[3:]),
            cube_velocity=_tensor(estimate.twist),
            goal=self._goal,
        )
        events = self._events(state, hands, estimate)
        witness = self._cell.witness
        if witness is not None:
            events |= witness.events(estimate, looked)
            if witness.over:
                self.stop()
        return Step(now, state, observe(state, ARMS, hands), events)

    def _locate(self, now: float, hands: Hands) -> CubeEstimate:
        """Where the cube is, or was when that could be told last; meanwhile the arms wait."""
        estimate = self._cell.cube.estimate(now, hands)
        waiting = not estimate.status.usable
        if waiting and self._known is None:
            raise PlantError(
                f"where the cube is, is unknown ({estimate.status.value}): put it where cameras "
                "see it, and check them with `codi franka-check --calibration PATH`"
            )
        if waiting and self._waiting_since is None:
            self._waiting_since = self.clock.now()
        if not waiting:
            self._waiting_since, self._known = None, estimate
            self._descents = self._onto(estimate.pose)
        assert self._known is not None
        return attrs.evolve(
            self._known,
            status=estimate.status,
            twist=np.zeros(6) if waiting else self._known.twist,
        )

    def _onto(self, pose: Array) -> Descents:
        """How fast hands may go down on a box that is there, (7,)."""
        turned = quaternion_to_matrix(torch.from_numpy(pose[3:])).numpy()

        def speeds(tips: Array, rotations: Array) -> Array:
            widths = np.array([hand.width() for hand in self._cell.hands])
            return self._landing.speeds(tips, rotations, widths, pose[:3], turned)

        return speeds

    def _check(self) -> None:
        """Raise what somebody must be told of."""
        if self._stream.failure is not None:
            raise PlantError(self._stream.failure)
        for hand in self._cell.hands:
            if hand.trouble is not None:
                self._stream.stop(hand.trouble)
                raise PlantError(
                    f"{hand.trouble}: switch the hand off and on in Desk, then home it with "
                    "`codi franka-home`"
                )

    def _events(
        self, state: FrankaState, hands: HandState, estimate: CubeEstimate
    ) -> dict[str, NDArray[np.generic]]:
        cube, tally = state.cube_position[0].numpy(), self._stream.tally()
        if self._left_only is None:
            self._left_only = bool(left_only(state.cube_position[:, :2])[0])
        goal = self._goal[0].numpy()
        distance = float(np.linalg.norm(cube - goal))
        tcp = self._bases.points_to_world(hands.position)
        apart = arm_clearance(self._bases.arms_to_world(arm_points(hands.position)))
        near = float((tcp[0] - state.cube_position).norm(dim=-1).min())
        self._succeeded |= distance <= SUCCESS_RADIUS
        events = {
            # A cube that has left the table may be put back by somebody.
            "failed": np.zeros(1, dtype=bool),
            "off_table": np.array([bool(cube[2] < FALLEN)]),
            "succeeded": np.array([self._succeeded]),
            "goal_distance_m": np.array([distance]),
            "arm_contact": np.array([bool(apart[0] < 0.0)]),
            "hand_distance_m": np.array([float(apart[0])]),
            "cube_touched": np.array([near < max(self._box.size)]),
            "cube_speed_m_s": np.array([float(state.cube_velocity[0, :3].norm())]),
            "guard_m_s": np.zeros(1),
            "left_only": np.array([self._left_only]),
            "cube_position": cube[None],
            "cube_quaternion": state.cube_quaternion.numpy(),
            "hand_position": tcp.numpy(),
            "joint_position": state.joint_position.numpy(),
            "gripper_width": state.gripper_width.numpy(),
            "goal": goal[None],
            "force_n": tally.force[None],
            "rejections": tally.rejections[None],
            "stream_gap_s": np.array([tally.longest_gap]),
            "tripped": np.array([self._stream.tripped]),
            "halts": np.array([self._stream.halts]),
            "recovered": np.array([self._stream.recovered]),
            "cube_status": np.array([float(STATUSES.index(estimate.status))]),
            "cube_age_s": np.array([self._cell.clock.seconds() - estimate.time]),
        }
        return {name: np.asarray(value) for name, value in events.items()}


def seen_hands(readings: Sequence[ArmReading], workers: Sequence[GripperWorker]) -> Hands:
    """What a tracker needs to know of the hands.

    Args:
        readings: of both arms.
        workers: of their hands.
    """
    arms = _arms(readings, [worker.width() for worker in workers])
    return _seen_hands(arms, hands_in_base(arms), workers)


def _seen_hands(arms: FrankaState, hands: HandState, workers: Sequence[GripperWorker]) -> Hands:
    bases = BaseFrames.of(ARMS)
    return Hands(
        bases.points_to_world(hands.position)[0].double().numpy(),
        (bases.rotation @ hands.rotation)[0].double().numpy(),
        arms.gripper_width[0].double().numpy(),
        np.array([worker.look().closing for worker in workers]),
    )


def _arms(readings: Sequence[ArmReading], widths: Sequence[float]) -> FrankaState:
    """The arms' part of the state, and a cube of which nothing is known yet."""
    return FrankaState(
        joint_position=_tensor(np.stack([reading.joint_positions for reading in readings])),
        joint_velocity=_tensor(np.stack([reading.joint_velocities for reading in readings])),
        gripper_width=_tensor(np.array(widths)),
        cube_position=torch.zeros(1, 3),
        cube_quaternion=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        cube_velocity=torch.zeros(1, 6),
    )


def _tensor(values: NDArray[np.float64]) -> Tensor:
    """One world: (1, ...) in float32."""
    return torch.tensor(values, dtype=torch.float32).unsqueeze(0)
