"""The interface of what is demonstrated: who acts, and where cubes are put."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor

from codi_core.planning import NoiseSource, Observation
from codi_core.tasks import EpisodeKey
from codi_franka.robot.frames import HandState
from codi_franka.state import FrankaState

Frame = dict[str, Tensor]
"""What is recorded of n worlds at one step, (n, size) each, by feature name."""


class Script(ABC):
    """Acts with all arms of n worlds.

    Attributes:
        arms: their names, in the order of the state.
        draws: how many random numbers a step of one world depends on.
        counts: what has been counted of each world so far, (n,), by name, for its record.
    """

    arms: tuple[str, ...]
    draws: int
    counts: dict[str, Tensor]

    @abstractmethod
    def act(self, state: FrankaState, hands: HandState, draw: Tensor, jumped: Tensor) -> Tensor:
        """The actions now, (n, N, 7).

        Args:
            state: the true state of n worlds.
            hands: where their hands are.
            draw: (n, ``draws``), uniform on [0, 1).
            jumped: (n,) booleans, whether the cube has just been put to another place.
        """

    @abstractmethod
    def places(self, where: Tensor) -> Tensor:
        """Random places for cubes that arms reach: (n, 2) [m], in the first arm's base frame.

        Args:
            where: (n,) booleans, the worlds that want one; zeros in the others.
        """


ScriptMaker = Callable[[Sequence[EpisodeKey], NoiseSource], Script]
"""Makes a script for n episodes, with one stream of noise each."""

FrameMaker = Callable[[FrankaState, FrankaState, Observation, Tensor], Frame]
"""Names what is recorded: the true state, its estimate, the joint observation of the estimate, and
the actions (n, N, 7)."""
