"""f_single^(i): what one agent's policy reads of a joint observation."""

from __future__ import annotations

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
        prefix = f"{self.agent}/"
        own = {
            name.removeprefix(prefix): value
            for name, value in observation.items()
            if name.startswith(prefix)
        }
        if not own:
            raise SpecificationError(
                f"the joint observation has nothing of agent '{self.agent}', only "
                f"{sorted(observation)}: name its entries {prefix}NAME"
            )
        return own
