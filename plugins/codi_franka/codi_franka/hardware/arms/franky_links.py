"""Arms and hands through ``franky-control``, which keeps the 1 kHz loop out of Python.

Each command is a target that franky's own 1 kHz loop approaches with limited acceleration and jerk;
see ``docs/decisions`` for why it was chosen.
"""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType
from typing import Any

import attrs
import numpy as np

from codi_core.errors import PluginError
from codi_franka.hardware.arms.link import ArmError, Array, HandReading
from codi_franka.hardware.reading import ArmReading
from codi_franka.robot.parameters import MAX_WIDTH


@attrs.frozen
class ArmSettings:
    """How an arm is driven.

    Attributes:
        realtime: whether a real-time kernel is insisted on, as an arm needs it; a simulated one
            does not.
        smoothing: within what time a target is reached [s]: three periods of the stream, so that a
            target is replaced before it is reached and the acceleration stays even.
        watchdog: for how long a target holds if no other one comes [s].
        acceleration: of franky's loop, at most [rad/s²], below the published 10.
        jerk: likewise [rad/s³], below the published 5000.
        torque_threshold: of the arm's own contact reflex [N m]. The defaults of the client library
            trip in mere motions.
        force_threshold: likewise [N].
    """

    realtime: bool = True
    smoothing: float = 0.03
    watchdog: float = 0.2
    acceleration: float = 9.0
    jerk: float = 4000.0
    torque_threshold: float = 40.0
    force_threshold: float = 40.0


@attrs.frozen
class HandSettings:
    """How a hand is driven.

    Attributes:
        speed: of the fingers [m/s].
        force: that a grasp presses with [N]: what holds a kilogram by friction. A finger that
            comes first pushes the object, and the arm, with as much.
        grasp_width: what a grasp asks for [m]: less than any object, since a grasp at the object's
            exact width has no force.
    """

    speed: float = 0.1
    force: float = 20.0
    grasp_width: float = 0.01


def franky() -> ModuleType:
    """The client library.

    Raises:
        PluginError: it is not installed.
    """
    try:
        import franky as library
    except ImportError as error:
        raise PluginError(
            f"driving arms needs franky-control, which is not installed ({error}): "
            "pip install 'codi-franka[hardware]'"
        ) from error
    return library


class FrankyArm:
    """One arm.

    Args:
        name: of the arm.
        host: its address.
        settings: how it is driven.

    Raises:
        ArmError: it does not answer.
    """

    def __init__(self, name: str, host: str, settings: ArmSettings) -> None:
        self.name, self.host, self._settings = name, host, settings
        self._franky = library = franky()
        realtime = library.RealtimeConfig
        config = realtime.Enforce if settings.realtime else realtime.Ignore
        try:
            self._robot = library.Robot(host, realtime_config=config)
            self._set_up()
        except Exception as error:  # the library has no common class for its errors
            raise ArmError(name, f"can't be reached at {host}: {error}", lost=True) from error
        self._limit = np.asarray(self._robot.joint_velocity_limit.get())
        self._latest: tuple[float, float] = (-1.0, 0.0)

    def read(self, now: float) -> ArmReading:
        """What the arm measures."""
        try:
            state = self._robot.state
        except Exception as error:
            raise ArmError(self.name, f"the connection is lost: {error}", lost=True) from error
        told = state.time.to_sec()
        if told != self._latest[0]:
            self._latest = (told, now)
        return ArmReading(
            time=self._latest[1],
            joint_positions=np.array(state.q),
            joint_velocities=np.array(state.dq),
            force=np.array(state.O_F_ext_hat_K)[:3],
            joint_torques=np.array(state.tau_ext_hat_filtered),
            desired_positions=np.array(state.q_d),
        )

    def told(self) -> float:
        """The arm's own time [s] when it was read last."""
        return self._latest[0]

    def send(self, velocity: Array) -> None:
        """Approach joint velocities (7,) [rad/s]."""
        target = np.clip(velocity, -self._limit, self._limit)
        duration, settings = self._franky.Duration, self._settings
        waypoint = self._franky.JointVelocityWaypoint(
            target,
            relative_dynamics_factor=0.999,  # with 1.0 the least time is not kept
            minimum_time=duration(round(1000 * settings.smoothing)),
            hold_target_duration=duration(round(1000 * settings.watchdog)),
        )
        self._move(self._franky.JointVelocityWaypointMotion([waypoint]))

    def errors(self) -> tuple[str, ...]:
        """The names of the errors that it has now."""
        errors = self._robot.state.current_errors
        names = [name for name in dir(errors) if not name.startswith("_")]
        return tuple(name for name in names if getattr(errors, name) is True)

    def recover(self) -> bool:
        """Clear the arm's error."""
        try:
            recovered: bool = self._robot.recover_from_errors()
        except Exception:
            return False
        return recovered

    def close(self) -> None:
        """Come to rest and leave the arm alone."""
        with suppress(Exception):  # it has stopped by itself, or its watchdog stops it
            if self._robot.is_in_control:
                self._move(self._franky.JointVelocityStopMotion())
        with suppress(Exception):  # the library's thread must have ended before the program does
            self._robot.join_motion(timeout=2.0)

    def _set_up(self) -> None:
        robot, settings = self._robot, self._settings
        for limit, most in (
            (robot.joint_acceleration_limit, settings.acceleration),
            (robot.joint_jerk_limit, settings.jerk),
        ):
            limit.set(np.minimum(limit.max, most))
        robot.joint_velocity_limit.set(robot.joint_velocity_limit.max)
        robot.set_collision_behavior(settings.torque_threshold, settings.force_threshold)

    def _move(self, motion: Any) -> None:
        try:
            # The library's low-pass filter starts from what the arm says it was told, which jerks
            # whenever a message was lost: what is sent is smooth already.
            self._robot.move(motion, asynchronous=True, cutoff_frequency=1000.0)
        except Exception as error:
            lost = isinstance(error, self._franky.NetworkException)
            raise ArmError(self.name, str(error), lost) from error


class FrankyHand:
    """One hand.

    Args:
        name: of the arm.
        host: its address.
        settings: how it is driven.

    Raises:
        ArmError: it does not answer.
    """

    def __init__(self, name: str, host: str, settings: HandSettings) -> None:
        self._settings = settings
        try:
            self._hand = franky().Gripper(host)
        except Exception as error:
            what = f"its hand can't be reached at {host}: {error}"
            raise ArmError(name, what, lost=True) from error

    def read(self) -> HandReading:
        """Measure."""
        state = self._hand.state
        return HandReading(float(state.width), bool(state.is_grasped), float(state.max_width))

    def open(self) -> bool:
        """Open."""
        return bool(self._hand.move(MAX_WIDTH, self._settings.speed))

    def close_on_object(self) -> bool:
        """Close until something is between the fingers, and press."""
        settings = self._settings
        return bool(
            self._hand.grasp(
                settings.grasp_width,
                settings.speed,
                settings.force,
                epsilon_inner=settings.grasp_width,
                epsilon_outer=MAX_WIDTH,
            )
        )

    def home(self) -> bool:
        """Learn how far it opens."""
        return bool(self._hand.homing())
