"""The interface of everything that turns observations into action chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod

from codi_core.planning.context import Plan, PlanContext
from codi_core.planning.layout import ChunkLayout


class Planner(ABC):
    """Plans one chunk of actions for all agents of B worlds.

    The coordinated policy is a planner; so are whole-sampler methods such as best-of-n.

    Attributes:
        layout: what its chunks mean and what it observes; planners that build on a product policy
            take its ``layout``.
    """

    layout: ChunkLayout

    @abstractmethod
    def plan(self, context: PlanContext) -> Plan:
        """Plan from the observation and the state in ``context``."""
