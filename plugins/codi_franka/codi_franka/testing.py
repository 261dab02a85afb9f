"""Checks that a simulator is one of the handover: one call in its author's tests."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from codi_core.testing import Agreement, Drive, check_simulator
from codi_core.testing.requirement import require
from codi_franka.geometry import quaternion_exp
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.physics.rollouts import Commands, rollouts_of
from codi_franka.physics.simulator import HandoffSimulator, Simulated, SimulatorMaker
from codi_franka.robot.cell import ARM_BASES, ARMS, CUBE_MASS, CUBE_SIZE
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.robot.reach import follow
from codi_franka.state import FrankaState, tensors

EXACT: Mapping[int, Mapping[str, float]] = {
    steps: {"joint_position": 0.0, "gripper_width": 0.0, "cube_position": 0.0}
    for steps in (10, 50, 160)
}
"""What MuJoCo on the CPU must agree with itself to: after 0.1, 0.5 and 1.6 s at 10 ms a step."""

SINGLE: Mapping[int, Mapping[str, float]] = {
    10: {"joint_position": 1e-5, "gripper_width": 1e-5, "cube_position": 1e-5},
    50: {"joint_position": 3e-5, "gripper_width": 3e-5, "cube_position": 3e-5},
    160: {"joint_position": 1e-4, "gripper_width": 1e-4, "cube_position": 1e-4},
}
"""[rad, m, m] What the same physics in single precision must agree to."""

CALLS = 16
"""Control steps of a drive: 1.6 s."""

_HELD = (-0.2, 0.0, 0.2)
_WEIGHT = 9.81 * CUBE_MASS


def check_handoff_simulator(
    maker: SimulatorMaker,
    within: Mapping[int, Mapping[str, float]] = SINGLE,
    *,
    repeats_within: float = 0.0,
    returns_within: float = 1e-5,
) -> None:
    """Check states, repetition, failures, agreement with MuJoCo, a grasp, a fall, and rollouts.

    Arms move at random, a cube is carried, one lies on the table, one falls.

    Args:
        maker: makes the simulators, with physics steps of 10 ms if ``within`` is to mean 0.1, 0.5
            and 1.6 s.
        within: by physics steps and field, how far from MuJoCo on the CPU it may be.
        repeats_within: by how much the same calls may lead elsewhere; 0 unless it adds up in
            another order each time.
        returns_within: by how much a state may change when it is set and read.

    Raises:
        ConformanceError: with what is wrong.
    """

    def make(copies: int) -> HandoffSimulator:
        return maker(ARMS, copies)

    drive = _drive(make(1).substeps)
    check_simulator(
        make,
        drive,
        broken=_broken(drive.state),
        agreement=Agreement(lambda copies: MujocoMaker()(ARMS, copies), within),
        repeats_within=repeats_within,
        returns_within=returns_within,
    )
    _check_failed_numbers(make(3), drive)
    _check_grasp(make(1))
    _check_drop(make(1))
    _check_contacts(make(2))
    _check_rollouts(maker, make(1).substeps)


def _drive(substeps: int) -> Drive:
    """Three copies: hands that carry a cube, that move about, and that rest above a falling one.

    The cube is carried already: how fingers close on it in a moment depends on every digit.
    """
    state = _joined(
        _carried(),
        _scene((0.3, -0.2, CUBE_SIZE / 2)),
        _scene((0.0, 0.3, 0.15)),
    )
    generator = torch.Generator().manual_seed(0)
    speed = 0.3 * torch.randn(3, len(ARMS), 7, generator=generator)
    speed[2] = 0.0
    wave = torch.sin(torch.arange(1, CALLS + 1) * 0.4)[:, None, None, None]
    width = torch.tensor([0.0, 0.06, MAX_WIDTH]).view(1, 3, 1, 1).expand(CALLS, 3, len(ARMS), 1)
    velocity = (wave * speed).expand(CALLS, 3, len(ARMS), 7)
    return Drive(state, torch.cat((velocity, width), -1).flatten(2), substeps)


def _carried() -> FrankaState:
    """A cube between fingers that have closed on it, as MuJoCo on the CPU has it."""
    simulator = MujocoMaker()(ARMS, 1)
    return _held_still(simulator, _scene(_HELD, _HELD, width=CUBE_SIZE), width=0.0).state


def _broken(state: FrankaState) -> FrankaState:
    one = state.of_worlds(torch.tensor([1]))
    return attrs.evolve(one, joint_velocity=torch.full_like(one.joint_velocity, 1e9))


def _check_failed_numbers(simulator: HandoffSimulator, drive: Drive) -> None:
    simulator.set_state(_on(simulator, drive.state))
    simulator.set_state(_on(simulator, _broken(drive.state)), torch.tensor([1]))
    seen = simulator.step(drive.targets[0].to(simulator.device), drive.count)
    for field, value in tensors(seen.state):
        _require(bool(value.isfinite().all()), f"'{field}' of a failed copy is not finite")


def _check_grasp(simulator: HandoffSimulator) -> None:
    """A cube between closed fingers stays there for 1.6 s, and the arm bears its weight."""
    seen = _held_still(simulator, _scene(_HELD, _HELD, width=CUBE_SIZE), width=0.0)
    fallen = _HELD[2] - float(seen.state.cube_position[0, 2])
    _require(fallen < 0.005, f"a cube that was grasped has sunk by {1e3 * fallen:.1f} mm in 1.6 s")
    if seen.cube_contact is not None:
        _require(bool(seen.cube_contact[0]), "a grasped cube is not touched by an arm")
    if seen.cube_force is not None:
        lift = float(seen.cube_force[0, 0, 2])
        right = abs(lift - _WEIGHT) < 0.05 * _WEIGHT
        _require(right, f"an arm acts with {lift:.2f} N on a cube that weighs {_WEIGHT:.2f} N")


def _check_drop(simulator: HandoffSimulator) -> None:
    """A cube falls as fast as it must, and comes to rest on the table."""
    height = CUBE_SIZE / 2 + 0.2
    simulator.set_state(_on(simulator, _scene((0.0, 0.3, height))))
    first = simulator.step(_still(simulator, MAX_WIDTH), simulator.substeps)
    fallen = height - float(first.state.cube_position[0, 2])
    _require(
        0.04 < fallen < 0.06, f"a cube has fallen by {fallen:.3f} m in 0.1 s"
    )  # g t²/2 = 0.049
    last = _held_still(simulator, None, MAX_WIDTH)
    off = abs(float(last.state.cube_position[0, 2]) - CUBE_SIZE / 2)
    _require(off < 0.002, f"a cube that fell rests {1e3 * off:.1f} mm off the table")
    speed = float(last.state.cube_velocity.abs().max())
    _require(speed < 0.02, f"a cube that fell 1.6 s ago still moves with {speed:.2f} m/s")
    if last.cube_contact is not None:
        _require(not bool(last.cube_contact[0]), "a cube on the table counts as touched by an arm")


def _check_contacts(simulator: HandoffSimulator) -> None:
    """Hands 3 cm into each other touch; hands at home are far apart."""
    near = _scene((0.3, 0.3, CUBE_SIZE / 2), (0.0, 0.0, 0.3), (0.02, 0.0, 0.3))
    simulator.set_state(_on(simulator, _joined(near, _scene((0.3, 0.3, CUBE_SIZE / 2)))))
    targets = _still(simulator, MAX_WIDTH).expand(2, -1)
    seen = simulator.step(targets, 1)
    if seen.arm_contact is not None:
        found = seen.arm_contact.tolist()
        _require(
            found == [True, False], f"arms that meet, and that don't: `arm_contact` is {found}"
        )
    if seen.hand_distance is not None:
        _require(
            float(seen.hand_distance[0]) < 0.01 and float(seen.hand_distance[1]) > 0.2,
            f"hands that meet, and that don't, are {seen.hand_distance.tolist()} m apart",
        )


def _check_rollouts(maker: SimulatorMaker, substeps: int) -> None:
    """What predictors roll out keeps a grasp and moves hands as the simulator does."""
    start = _joined(_scene(_HELD, _HELD, width=CUBE_SIZE), _scene((0.3, -0.2, CUBE_SIZE / 2)))
    actions = torch.zeros(2, CALLS, len(ARMS), 7)
    actions[:, 5:, 0, 0] = 0.1
    actions[:, :, :, 6] = torch.tensor([0.0, MAX_WIDTH])[:, None, None]
    rollouts, simulator = rollouts_of(maker)(ARMS, 2), maker(ARMS, 2)
    followed = rollouts.follow(start.to(rollouts.device), actions.to(rollouts.device))
    commands, now = Commands(actions.to(simulator.device)), start.to(simulator.device)
    simulator.set_state(now)
    for step in range(CALLS):
        now = simulator.step(commands.targets(step, now.joint_position), substeps).state
    _require(followed.valid.tolist() == [True, True], "rollouts of sound states fail")
    joints = (followed.joint_position[:, -1].cpu() - now.joint_position.cpu()).abs().max()
    _require(float(joints) < 0.05, f"joints are rolled out {float(joints):.3f} rad elsewhere")
    cube = (followed.cube_position[:, -1].cpu() - now.cube_position.cpu()).norm(dim=-1).max()
    _require(float(cube) < 0.02, f"a cube is rolled out {1e3 * float(cube):.0f} mm elsewhere")
    same = (followed.last.cube_position - followed.cube_position[:, -1]).abs().max()
    _require(float(same) < 1e-6, "the last state of rollouts is not that of their path")


def _held_still(simulator: HandoffSimulator, state: FrankaState | None, width: float) -> Simulated:
    """What there is to see after 1.6 s in which no joint is asked to move."""
    if state is not None:
        simulator.set_state(_on(simulator, state))
    for _ in range(CALLS):
        seen = simulator.step(_still(simulator, width), simulator.substeps)
    return seen


def _still(simulator: HandoffSimulator, width: float) -> Tensor:
    targets = torch.zeros(1, len(ARMS), 8)
    targets[..., 7] = torch.tensor([width, MAX_WIDTH])
    return targets.flatten(1).to(simulator.device)


def _on(simulator: HandoffSimulator, state: FrankaState) -> FrankaState:
    return state.to(simulator.device)


def _scene(
    cube: tuple[float, float, float],
    *hands: tuple[float, float, float],
    width: float = MAX_WIDTH,
) -> FrankaState:
    """One copy at rest: a cube, and hands at points of the world frame; the others are at home."""
    joints = [HOME if number >= len(hands) else _posture(arm, hands[number])
              for number, arm in enumerate(ARMS)]  # fmt: skip
    return FrankaState(
        joint_position=torch.tensor(joints).unsqueeze(0),
        joint_velocity=torch.zeros(1, len(ARMS), 7),
        gripper_width=torch.tensor([[width, MAX_WIDTH]]),
        cube_position=torch.tensor([cube]),
        cube_quaternion=quaternion_exp(torch.zeros(1, 3)),
        cube_velocity=torch.zeros(1, 6),
    )


def _posture(arm: str, point: tuple[float, float, float]) -> tuple[float, ...]:
    """Joint angles (7) [rad] with which an arm's TCP is at a point of the world frame."""
    base, turn = ARM_BASES[arm].position, 1.0 if arm == "left" else -1.0
    target = torch.tensor([turn * (point[0] - base[0]), turn * point[1], point[2]])
    joints = follow(EndEffectorController(), torch.tensor(HOME), target, duration=8.0)[-1]
    return tuple(joints.tolist())


def _joined(*states: FrankaState) -> FrankaState:
    names = [field.name for field in attrs.fields(FrankaState) if field.name != "goal"]
    return FrankaState(**{n: torch.cat([getattr(each, n) for each in states]) for n in names})


def _require(condition: bool, message: str) -> None:
    require(condition, f"a simulator of the handover: {message}")
