"""What the task asks of a physics simulator: MuJoCo's, or another one that stands in for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import attrs
from torch import Tensor

from codi_core.tasks import Simulator
from codi_franka.state import FrankaState

CONTROL_PERIOD = 0.1
"""[s] Between two actions."""


@attrs.frozen(eq=False)
class CubeProperties:
    """The cubes of n copies.

    Attributes:
        mass: (n,) [kg], float64; the inertia scales with it.
        friction: (n,), float64: factors on the nominal friction of the cube, of the finger pads
            and of the table.
    """

    mass: Tensor
    friction: Tensor


@attrs.frozen(eq=False)
class Simulated:
    """What n copies look like, and what was measured in them since the last look.

    Attributes:
        state: the true state; it is finite, but means nothing where a copy is not valid.
        valid: (n,) booleans, False from the moment that a copy diverged until its state is set.
        arm_contact: (n,) booleans, whether two arms have touched; None and likewise below if the
            simulator measures nothing.
        cube_contact: (n,) booleans, whether an arm touches the cube now.
        cube_force: (n, N, 3) [N], world frame, with what each arm acts on the cube now; squeezing
            fingers cancel, so an arm that carries a cube shows its weight.
        hand_distance: (n,) [m], the smallest that there was between the geometries of two hands,
            fingers included.
    """

    state: FrankaState
    valid: Tensor
    arm_contact: Tensor | None = None
    cube_contact: Tensor | None = None
    cube_force: Tensor | None = None
    hand_distance: Tensor | None = None


class HandoffSimulator(Simulator):
    """n copies of N arms, a table and a cube.

    Its actuator targets are, for each arm, 7 joint velocities [rad/s] and the gripper's width [m].

    Attributes:
        substeps: how many physics steps make a control period of 0.1 s.
    """

    substeps: int

    @abstractmethod
    def set_state(
        self, state: FrankaState, rows: Tensor | None = None, cube: CubeProperties | None = None
    ) -> None:
        """Put some copies into states, and leave the others alone.

        Args:
            state: one row a copy; a goal in it is ignored.
            rows: which copies, (n',); None stands for all.
            cube: their cubes from now on; None leaves the cubes as they are.
        """

    @abstractmethod
    def step(self, targets: Tensor, count: int, rows: Tensor | None = None) -> Simulated:
        """Hold actuator targets for some physics steps.

        Args:
            targets: (n', N·8), one row a copy.
            count: how many steps; with 0 no time passes, and what is there is looked at.
            rows: which copies, (n',); the others stand still. None stands for all.

        Returns:
            What these copies look like then, n' rows.
        """


SimulatorMaker = Callable[[tuple[str, ...], int], HandoffSimulator]
"""Makes a simulator that measures, from the names of the arms, in the order of the state, and the
number of copies. ``--simulator`` chooses one."""
