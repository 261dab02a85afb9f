"""What policies read of a joint observation: one agent's own part (f_single^(i)), or all of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

import attrs
from torch import Tensor

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
        if not isinstance(observation, ByAgent):
            observation = ByAgent(observation)
        view = {name: observation[joint] for name, joint in observation.entries(self.agent)}
        if not view:
            raise SpecificationError(
                f"the joint observation has nothing of agent '{self.agent}', only "
                f"{sorted(observation)}: name its entries {self.agent}/NAME"
            )
        return view


class ByAgent(dict[str, Tensor]):
    """A joint observation that knows which entries are whose: found once for all agents of a team.

    Args:
        observation: named tensors (B, H, ...).
    """

    def entries(self, agent: str) -> Sequence[tuple[str, str]]:
        """An agent's entries, (NAME, AGENT/NAME)."""
        return self._entries.get(agent, ())

    @cached_property
    def _entries(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        return _entries(tuple(self))


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


@lru_cache(maxsize=64)
def _entries(joint: tuple[str, ...]) -> Mapping[str, Sequence[tuple[str, str]]]:
    """The entries (NAME, AGENT/NAME) of each agent; what stands before any slash may be one."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in joint:
        for place in (match.start() for match in re.finditer("/", name)):
            found.setdefault(name[:place], []).append((name[place + 1 :], name))
    return found
