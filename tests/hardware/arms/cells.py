"""Cells of fake arms and hands with the real safety layer."""

from __future__ import annotations

import numpy as np

from codi_franka.handoff.options import HandoffOptions
from codi_franka.hardware.arms.gripper_worker import GripperWorker
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.plant import Cell, FrankaPlant
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.hardware.stream import StreamSettings
from codi_franka.vision.estimate import CubeEstimate, CubeStatus
from tests.hardware.arms.fakes import FakeArm, FakeHand

PERIOD = 0.01
CUBE = np.array([-0.2, 0.1, 0.025, 1.0, 0.0, 0.0, 0.0])


class StillCube:
    """A cube that lies there, and can be said to be anywhere."""

    on_hands = False

    def __init__(self):
        self.pose, self.status, self.age, self.closed = CUBE.copy(), CubeStatus.SEEN, 0.02, False

    def estimate(self, now, hands):
        zero = np.zeros((6, 6))
        return CubeEstimate(now - self.age, self.pose.copy(), np.zeros(6), zero, self.status)

    def close(self):
        self.closed = True


class FakeCell:
    """Two fake arms at home, their hands, and a cube."""

    def __init__(self, looks_around=False, **settings):
        self.arms = [FakeArm("left"), FakeArm("right")]
        self.fake_hands = [FakeHand(), FakeHand()]
        clock = ArmClock()
        names = ("left", "right")
        self.hands = [
            GripperWorker(*each, clock) for each in zip(names, self.fake_hands, strict=True)
        ]
        self.cube = StillCube()
        judge = SafetyLayer(SafetySettings(stop_seconds=0.17), PERIOD)
        streaming = StreamSettings(PERIOD, recovering=0.05, **settings)
        self.cell = Cell(
            self.arms, self.hands, self.cube, judge, clock, streaming, looks_around=looks_around
        )

    def plant(self):
        plant = FrankaPlant(self.cell, HandoffOptions())
        for hand in self.hands:
            plant.closing.callback(hand.close)
        return plant

    def rest_after(self, moment):
        """How long after a moment [s, monotonic] both arms had been told to stand."""
        moving = [
            time
            for arm in self.arms
            for time, velocity in zip(arm.times, arm.sent, strict=True)
            if velocity.any() and time > moment
        ]
        return max(moving) + PERIOD - moment if moving else 0.0
