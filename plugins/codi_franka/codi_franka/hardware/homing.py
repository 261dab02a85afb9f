"""Bringing both arms to where episodes start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codi_core.errors import PlantError
from codi_franka.hardware.arms.link import ArmLink
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.motion.approach import approach
from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.hardware.stream import Stream, StreamSettings
from codi_franka.robot.controller import HOME

NEAR = 0.01
"""[rad] So near to home is home."""
AT_HOME = 0.1
"""[rad] So near, episodes may start."""
SPEED = 0.25
"""[rad/s] Of the fastest joint."""
PATIENCE = 60.0
"""[s] Within which the arms must be there."""


def go_home(arms: Sequence[ArmLink], clock: ArmClock, speed: float = SPEED) -> None:
    """Move both arms to :data:`~codi_franka.robot.controller.HOME`, slowly and past the checks.

    Args:
        arms: left and right.
        clock: their seconds.
        speed: of the fastest joint [rad/s].

    Raises:
        PlantError: they don't get there.
    """
    settings = StreamSettings()

    def wanted(readings: Sequence[ArmReading]) -> NDArray[np.float64]:
        left = np.array(HOME) - np.stack([reading.joint_positions for reading in readings])
        return approach(left, speed)

    stream = Stream(arms, wanted, SafetyLayer(SafetySettings(), settings.period), clock, settings)
    began = clock.seconds()
    try:
        while distance(stream.readings) > NEAR and stream.failure is None:
            if clock.seconds() - began > PATIENCE:
                raise PlantError(
                    f"after {PATIENCE:g} s the arms are still {distance(stream.readings):.2f} rad "
                    "from where episodes start: something is in the way, or they would come too "
                    "near to each other. Move them by hand (guiding mode), then try again"
                )
            clock.sleep(0.05)
    finally:
        stream.stop("the arms are where they should be")
        stream.join(2.0)
    if stream.failure is not None:
        raise PlantError(stream.failure)


def distance(readings: Sequence[ArmReading]) -> float:
    """How far the joint that is furthest from home is from it [rad]."""
    positions = np.stack([reading.joint_positions for reading in readings])
    return float(np.abs(positions - np.array(HOME)).max())
