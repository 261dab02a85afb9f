"""f_single^(i): what one agent's policy reads of a joint observation."""

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


@lru_cache(maxsize=4096)
def _own_names(agent: str, joint: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """An agent's entries, (NAME, AGENT/NAME); found once, for teams make long lists."""
    prefix = f"{agent}/"
    return tuple((name.removeprefix(prefix), name) for name in joint if name.startswith(prefix))
