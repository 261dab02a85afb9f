"""What predictors ask of physics: n copies that follow actions, with a controller in between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import attrs
import torch
from torch import Tensor

from codi_franka.physics.simulator import HandoffSimulator, SimulatorMaker
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.kinematics import NUM_JOINTS
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.state import FrankaState

PREDICTING = EndEffectorController(passes=1)
"""One solve: joints at a limit stop, and others don't take over. The forecast becomes a little
worse, at 1.6 s and where the cube moves most, and a fifth of the time is saved."""


@attrs.frozen(eq=False)
class Followed:
    """What n copies did in K control steps. All numbers are finite.

    Attributes:
        joint_position: (n, K, N, 7) [rad], after each step.
        gripper_width: (n, K, N) [m].
        cube_position: (n, K, 3) [m], world frame.
        valid: (n,) booleans, False for copies that diverged: their numbers mean nothing.
        last: the state after the last step.
    """

    joint_position: Tensor
    gripper_width: Tensor
    cube_position: Tensor
    valid: Tensor
    last: FrankaState


class Rollouts(ABC):
    """n copies of N arms and a cube, which start together.

    Attributes:
        device: where its tensors are.
        copies: n.
    """

    device: str
    copies: int

    @abstractmethod
    def follow(self, state: FrankaState, actions: Tensor) -> Followed:
        """Put copy j into row j of a state, and let it follow its actions.

        Args:
            state: n rows, on the device, single precision; a goal in it is ignored.
            actions: (n, K, N, 7): twists of the TCPs [m/s, rad/s], in each arm's base frame, and
                the gripper's width [m], on the device; they are saturated here. K is at least 1.
        """


RolloutsMaker = Callable[[tuple[str, ...], int], Rollouts]
"""Makes rollouts, from the names of the arms, in the order of the state, and the number n."""


class Commands:
    """What n copies are commanded in each control step.

    What needs no state is done for all steps at once: small operations take their time.

    Args:
        actions: (n, K, N, 7), as :meth:`Rollouts.follow` takes them.
        controller: resolves twists into joint velocities.
    """

    def __init__(self, actions: Tensor, controller: EndEffectorController = PREDICTING) -> None:
        self.controller = controller
        self._twists = controller.saturate(actions[..., :6]).unbind(1)
        self._widths = actions[..., 6:].clamp(0.0, MAX_WIDTH).unbind(1)

    def __len__(self) -> int:
        return len(self._twists)

    def targets(self, step: int, joint_position: Tensor) -> Tensor:
        """The actuator targets (n, N·8) of a control step, from joints (n, N, 7) [rad]."""
        position = joint_position.reshape(-1, NUM_JOINTS)
        velocity = self.controller.resolve(position, self._twists[step].flatten(0, 1))
        return torch.cat((velocity.view_as(joint_position), self._widths[step]), -1).flatten(-2)


class SteppedRollouts(Rollouts):
    """Rollouts in any simulator, one call for each control step.

    Args:
        simulator: what is stepped.
    """

    def __init__(self, simulator: HandoffSimulator) -> None:
        self.simulator = simulator
        self.device, self.copies = simulator.device, simulator.copies

    def follow(self, state: FrankaState, actions: Tensor) -> Followed:
        """Follow the actions (see the base class)."""
        simulator, commands = self.simulator, Commands(actions)
        simulator.set_state(attrs.evolve(state, goal=None))
        joints, seen = state.joint_position, []
        for step in range(len(commands)):
            now = simulator.step(commands.targets(step, joints), simulator.substeps)
            joints = now.state.joint_position
            seen.append(now.state)
        return Followed(
            joint_position=torch.stack([each.joint_position for each in seen], 1),
            gripper_width=torch.stack([each.gripper_width for each in seen], 1),
            cube_position=torch.stack([each.cube_position for each in seen], 1),
            valid=now.valid,
            last=now.state,
        )


def rollouts_of(maker: SimulatorMaker) -> RolloutsMaker:
    """How predictors roll out in a kind of simulator: its maker's ``rollouts``, if it has them.

    Without, its simulators are stepped from outside.

    Args:
        maker: makes simulators, and may have a method ``rollouts(arms, copies)``.
    """
    own: RolloutsMaker | None = getattr(maker, "rollouts", None)
    return own if own is not None else partial(_stepped, maker)


def _stepped(maker: SimulatorMaker, arms: tuple[str, ...], copies: int) -> SteppedRollouts:
    return SteppedRollouts(maker(arms, copies))
