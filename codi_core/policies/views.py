"""What policies read of a joint observation: one agent's own part (f_single^(i)), or all of it."""

from __future__ import annotations

from functools import lru_cache

import attrs

from codi_core.errors import SpecificationError
from codi_core.planning import Observation


@attrs.frozen
class AgentView:
    """The entries of a joint observation that are named ``AGENT/NAME``, under their own ``NAME``.

    Attributes:
        agent: the agent's name.
    """

    agent: str

    def __call__(self, observation: Observation) -> Observation:
        """The agent's own observation.

        Raises:
            SpecificationError: nothing in the joint observation is the agent's.
        """
        view = {
            name: observation[joint] for name, joint in _own_names(self.agent, tuple(observation))
        }
        if not view:
            raise SpecificationError(
                f"the joint observation has nothing of agent '{self.agent}', only "
                f"{sorted(observation)}: name its entries {self.agent}/NAME"
            )
        return view


@attrs.frozen
class RecordedView:
    """All of a joint observation, under the names that recordings and joint demonstrations have.

    It is what a policy of all agents reads that was trained on such data.
    """

    def __call__(self, observation: Observation) -> Observation:
        """The same tensors by feature, see :func:`observation_feature`."""
        return {observation_feature(name): value for name, value in observation.items()}


def observation_feature(name: str) -> str:
    """The feature of a data set that holds an entry of the joint observation.

    The parts of ``AGENT/NAME`` are joined with dots behind one "observation": ``offsets`` becomes
    ``observation.offsets``, and ``left/observation.state`` becomes ``observation.left.state``.
    """
    parts = [part.removeprefix("observation.") for part in name.split("/")]
    return ".".join(["observation", *parts])


@lru_cache(maxsize=4096)
def _own_names(agent: str, joint: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """An agent's entries, (NAME, AGENT/NAME); found once, for teams make long lists."""
    prefix = f"{agent}/"
    return tuple((name.removeprefix(prefix), name) for name in joint if name.startswith(prefix))
