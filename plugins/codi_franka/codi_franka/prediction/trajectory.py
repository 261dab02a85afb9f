"""What both predictors foresee and what costs are computed on."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_franka.state import FrankaState


@attrs.frozen(eq=False)
class HandoffTrajectory:
    """Predicted motion of N hands and a cube, for B worlds, M samples and K control steps.

    Index k = 0 is the instant after the first action, k = K - 1 after the last. Everything is
    in the world frame: origin at the centre of the table top, x from the left to the right
    arm's base, z up.

    Attributes:
        hand_position: (B, M, K, N, 3), of the tool centre points [m].
        gripper_width: (B, M, K, N) [m].
        cube_position: (B, M, K, 3), of the cube's centre [m].
        goal: (B, 1, 1, 3), where the cube's centre should be [m]; it broadcasts over samples
            and steps.
    """

    hand_position: Tensor
    gripper_width: Tensor
    cube_position: Tensor
    goal: Tensor
    _hand_quaternion: Callable[[], Tensor] = attrs.field(repr=False)

    def hand_quaternion(self) -> Tensor:
        """(B, M, K, N, 4), wxyz. Computed on request: the default cost does without."""
        return self._hand_quaternion()


def goals(state: FrankaState) -> Tensor:
    """The goals of a trajectory's worlds, (B, 1, 1, 3).

    Raises:
        SpecificationError: the state has none.
    """
    if state.goal is None:
        raise SpecificationError("the state has no goal, which the costs of the handover need")
    return state.goal[:, None, None]
