"""From chunks of actions at the control rate to joint velocities at the stream's rate.

An action is the hand's velocity from its start to the next one's. Here it is approached from the
one before within a *blend*, half before its start and half after, so that the wanted velocity and
acceleration have no steps and the hand still gets as far as the action says. The shared controller
resolves it into joint velocities with the arm where it is now, as the environment's does once for
each action, and the same guard keeps the hands apart. Hands that would land on an object do so
slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_franka.action import ACTION_NAMES, RATE_HZ
from codi_franka.hardware.reading import ArmReading
from codi_franka.robot.cell import ARMS
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.robot.kinematics import pose_and_jacobian
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.robot.separation import SeparationGuard

Array = NDArray[np.float64]

Descents = Callable[[Array, Array], Array]
"""The highest downward speeds (2,) [m/s] of hands at places (2, 3) [m] that are turned (2, 3, 3),
world frame."""

STRAIGHTEST = -0.6
"""[rad] Of joint 4. An arm that somebody pushes, or that reaches for a cube too far away, would get
through a straight elbow, and not come back. The hand's reach is 2 mm less."""
_EXACT = 1e-9
"""[s]"""


@attrs.frozen(eq=False)
class Timeline:
    """What is wanted when: n changes, each from one action to the next.

    Attributes:
        blend: how long a change takes [s].
        times: (n,) the middles of the changes [s].
        actions: (n + 1, 2, 7): before the first change, and after each.
    """

    blend: float
    times: Array
    actions: Array

    @classmethod
    def idle(cls, blend: float) -> Timeline:
        """Nothing is wanted; grippers stay open."""
        still = np.zeros((1, len(ARMS), 7))
        still[..., 6] = MAX_WIDTH
        return cls(blend, np.empty(0), still)

    def twists(self, time: float) -> Array:
        """The hands' wanted twists (2, 6), base frames [m/s, rad/s]."""
        share = np.clip((time - self.times) / self.blend + 0.5, 0.0, 1.0)
        smooth = share * share * (3.0 - 2.0 * share)
        steps = np.diff(self.actions[..., :6], axis=0)
        twists: Array = self.actions[0, :, :6] + np.tensordot(smooth, steps, 1)
        return twists

    def widths(self, time: float) -> Array:
        """The wanted gripper widths (2,) [m]."""
        widths: Array = self.actions[np.searchsorted(self.times, time, side="right"), :, 6]
        return widths

    def then(self, chunk: Array, start: float, now: float) -> Timeline:
        """The same up to ``start`` [s], then a chunk (K, 2, 7), then nothing.

        A chunk that comes so late that its first change would have begun already begins it now.
        """
        kept = int((self.times < start - _EXACT).sum())
        over = min(kept, int((self.times + self.blend / 2 <= now).sum()))
        times, base = self.times[over:kept], self.actions[over : kept + 1]
        if (self.times[kept:] - self.blend / 2 < now).any():
            # A change that doesn't count any more has begun: go on from where it has got.
            times = np.empty(0)
            base = np.concatenate((self.twists(now), self.widths(now)[:, None]), -1)[None]
        starts = start + np.arange(len(chunk) + 1) / RATE_HZ
        starts[0] = max(start, now + self.blend / 2)
        end = np.concatenate((np.zeros((len(ARMS), 6)), chunk[-1, :, 6:]), -1)[None]
        return Timeline(
            self.blend, np.concatenate((times, starts)), np.concatenate((base, chunk, end))
        )


class ActionStream:
    """Says which joint velocities are wanted at any time.

    Chunks may come from another thread than the one that asks.

    Args:
        blend: how long it takes from one action to the next [s], up to one action's time.
    """

    def __init__(self, blend: float = 1 / RATE_HZ) -> None:
        if not 0.0 < blend <= 1 / RATE_HZ:
            raise SpecificationError(f"a blend takes up to {1 / RATE_HZ:g} s, not {blend:g}")
        self._bases = BaseFrames.of(ARMS, dtype=torch.float64)
        self._controller = EndEffectorController(straightest=STRAIGHTEST)
        self._guard = SeparationGuard(self._bases)
        self._timeline = Timeline.idle(blend)

    @property
    def lead(self) -> float:
        """How long before its start a chunk should be known [s]."""
        return self._timeline.blend / 2

    def follow(self, chunks: Sequence[Tensor], start: float, now: float) -> None:
        """Want these actions from a time on, and nothing after the last.

        Args:
            chunks: (1, K, 7) an arm, hand velocities in its base frame and gripper widths.
            start: of the first action [s].
            now: [s].

        Raises:
            SpecificationError: a chunk has another shape, isn't finite, or should have begun.
        """
        shapes = [tuple(chunk.shape) for chunk in chunks]
        if len(shapes) != len(ARMS) or shapes != [(1, shapes[0][1], len(ACTION_NAMES))] * len(ARMS):
            raise SpecificationError(
                f"real arms follow a chunk (1, K, {len(ACTION_NAMES)}) each, not {shapes}"
            )
        if not all(bool(chunk.isfinite().all()) for chunk in chunks):
            raise SpecificationError("real arms were to follow actions that are not finite")
        if start < now - self.lead:
            raise SpecificationError(
                f"real arms were to follow a chunk that began {now - start:.3f} s ago"
            )
        chunk = torch.stack([chunk[0] for chunk in chunks], 1).to("cpu", torch.float64)
        self._timeline = self._timeline.then(chunk.numpy(), start, now)

    def widths(self, time: float) -> Array:
        """The wanted gripper widths (2,) [m] at a time [s]."""
        return self._timeline.widths(time)

    def wanted(
        self, time: float, readings: Sequence[ArmReading], descents: Descents | None = None
    ) -> Array:
        """The joint velocities (2, 7) [rad/s] that do what is wanted at a time [s].

        Args:
            time: [s].
            readings: of both arms.
            descents: how fast hands may go down; None as fast as they are wanted to.
        """
        twists = self._timeline.twists(time)
        position = np.stack([reading.joint_positions for reading in readings])
        velocity = np.stack([reading.joint_velocities for reading in readings])
        with torch.inference_mode():
            joints, twist = torch.from_numpy(position), torch.from_numpy(twists)
            place, rotation, model = pose_and_jacobian(joints)
            moving = (model @ torch.from_numpy(velocity).unsqueeze(-1)).squeeze(-1)
            hands = HandState(place, rotation, moving[:, :3], moving[:, 3:], model)
            wanted = self._controller.saturate(twist)
            guarded = self._guard.restrain(_one_world(hands), wanted.unsqueeze(0))[0]
            if descents is not None:
                turned = self._bases.rotation @ rotation
                fastest = descents(self._bases.points_to_world(place).numpy(), turned.numpy())
                guarded[:, 2] = torch.maximum(guarded[:, 2], -torch.from_numpy(fastest))
            array: Array = self._controller.resolve(joints, guarded, model).numpy()
        return array


def _one_world(hands: HandState) -> HandState:
    fields = [field.name for field in attrs.fields(HandState)]
    return HandState(*(getattr(hands, name).unsqueeze(0) for name in fields))
