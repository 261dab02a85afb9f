"""What a simulated arm does in each millisecond, without what nobody asks for.

``franky-sim`` differentiates and filters twenty quantities in each millisecond, for clients that
command poses, and builds its message anew from all of them: more than half of the peer's time.
The project commands joint velocities. Here what an arm wants is what it was sent, poses are worked
out when a message is built, derivatives of poses, elbows and torques are told as zero, and hands
tell something less often than arms.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import partial

import numpy as np
import pinocchio as pin
from franky_sim.base_simulator import InnerRobotState
from franky_sim.franka_robot_state import FrankaRobotState

SLOW_TICKS = 8
"""External forces, and all that is not the joints' motion, are told anew once in so many ms."""
HAND_TICKS = 5
"""A hand tells something once in so many ms."""
QUICK = {"q": 7, "q_d": 7, "dq": 7, "dq_d": 7, "ddq_d": 7}
"""What is told anew in each millisecond, and how many numbers it has."""


class Component:
    """One quantity: what was set for this moment, or else what follows from the others.

    It stands where ``franky-sim`` has a ``TrackedStateComponent``.
    """

    def __init__(self, otherwise: Callable[[float], object]) -> None:
        self.otherwise, self.time, self.value = otherwise, -1.0, None

    def set(self, time: float, value, call_observers: bool = True) -> None:
        self.time, self.value = time, value

    def get(self, time: float):
        return self.value if self.time == time else self.otherwise(time)

    def finalize(self, time: float, *_args) -> None:
        """Nothing depends on what nobody asks for."""


def simplify(server) -> None:
    """Have a robot of ``franky-sim``, and its hand, do what is asked for only."""
    robot = server.robot
    robot._tracked_state_components = components(robot)
    robot._get_state = Measured(robot)
    robot._post_step = partial(_pass, robot)
    robot._joint_velocity_control = partial(_follow, robot)
    hand = server.gripper_server
    hand.send_state = Seldom(hand.send_state)


class Seldom:
    """Calls something once in :data:`HAND_TICKS` times."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call, self.times = call, 0

    def __call__(self) -> None:
        self.times += 1
        if self.times % HAND_TICKS == 0:
            self.call()


class Measured:
    """The joints' state, read once in a millisecond."""

    def __init__(self, robot) -> None:
        self.robot, self.data = robot, robot._data
        self.q, self.dq = (
            slice(addresses[0], addresses[-1] + 1)
            for addresses in (robot._qpos_addrs, robot._dof_addrs)
        )
        self.time, self.state = -1.0, None

    def __call__(self) -> InnerRobotState:
        if self.state is None or self.time != self.data.time:
            self.time = self.data.time
            self.state = InnerRobotState(
                q=tuple(self.data.qpos[self.q].tolist()),
                dq=tuple(self.data.qvel[self.dq].tolist()),
                tau_j=tuple(self.robot._applied_torques.tolist()),
            )
        return self.state


def _pass(robot) -> None:
    """A millisecond has passed."""
    robot._BaseRobot__prev_t = robot._BaseRobot__t
    robot._BaseRobot__t += 0.001


def _follow(robot, target: np.ndarray) -> None:
    """The damper that follows joint velocities, as ``franky-sim`` has it, without all its terms."""
    state, model, data = robot._get_state(), robot._BaseRobot__model, robot._BaseRobot__data
    q, dq = np.array(state.q), np.array(state.dq)
    bias = pin.nonLinearEffects(model, data, q, dq)
    gravity = pin.computeGeneralizedGravity(model, data, q)
    robot.torque_control(robot.kv * (target - dq) + bias - gravity)


def components(robot) -> dict[str, Component]:
    """What a robot tells, each worked out when it is asked for."""

    def joints() -> np.ndarray:
        return np.array(robot.inner_state.q)

    def velocities(time: float) -> np.ndarray:
        rests = made["q_d"].time == time  # it holds a posture
        return np.zeros(7) if rests else np.array(robot.inner_state.dq)

    def wanted_pose(time: float):
        return robot.kinematics(made["q_d"].get(time)).copy()

    def zeros(count: int) -> Callable[[float], np.ndarray]:
        return lambda _time: np.zeros(count)

    def elbow(_time: float) -> np.ndarray:
        q = joints()
        return np.array([q[2], np.sign(q[3])])

    told = {
        "q_d": lambda _time: joints(),
        "dq_d": velocities,
        "ddq_d": zeros(7),
        "tau_J": lambda _time: np.array(robot.inner_state.tau_j),
        "dtau_J": zeros(7),
        "tau_J_d": zeros(7),
        "O_T_EE": lambda _time: robot.kinematics(joints()).copy(),
        "O_T_EE_d": wanted_pose,
        "O_T_EE_c": wanted_pose,
        "O_dP_EE_d": zeros(6),
        "O_dP_EE_c": zeros(6),
        "O_ddP_EE_c": zeros(6),
        "elbow_c": elbow,
        "delbow_c": zeros(2),
        "ddelbow_c": zeros(2),
    }
    made = {name: Component(otherwise) for name, otherwise in told.items()}
    return made


class Message:
    """An arm's message, of which only the motion is written anew in each millisecond."""

    def __init__(self, server, loads: Callable[[], tuple]) -> None:
        self.server, self.robot, self.loads = server, server.robot, loads
        self.places = {name: place(name, count) for name, count in QUICK.items()}
        self.bytes, self.motion = bytearray(), -1

    def pack(self, tick: int) -> bytes:
        """The message of one millisecond."""
        motion = self.server.current_motion_id
        if tick % SLOW_TICKS == 0 or motion != self.motion:
            self.motion = motion
            torques, force = self.loads()
            whole = self.server.robot_state.replace(
                tau_ext_hat_filtered=torques, O_F_ext_hat_K=force
            )
            self.bytes = bytearray(whole.pack_state())
        else:
            for name, numbers in self._motion().items():
                struct.pack_into(f"<{QUICK[name]}f", self.bytes, self.places[name], *numbers)
        return bytes(self.bytes)

    def _motion(self) -> dict:
        components = self.robot._tracked_state_components
        now, state = self.robot._BaseRobot__prev_t, self.robot.inner_state
        wanted = {name: components[name].get(now) for name in ("q_d", "dq_d", "ddq_d")}
        return {"q": state.q, "dq": state.dq, **wanted}


def place(name: str, count: int) -> int:
    """Where a quantity of so many numbers is in a message: where a message with others differs."""
    plain = FrankaRobotState().pack_state()
    other = FrankaRobotState().replace(**{name: (math.pi,) * count}).pack_state()
    first = next(
        index for index, pair in enumerate(zip(plain, other, strict=True)) if len({*pair}) > 1
    )
    return first - first % 4
