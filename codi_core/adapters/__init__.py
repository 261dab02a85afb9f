"""Environments of other libraries as this package's: their worlds, episodes and events.

Nothing of those libraries is imported here; what is used of their environments is named in each
class. For the other way round, a task's worlds as an environment of theirs, there are checks of
what such an environment is asked for.
"""

from codi_core.adapters.parallel import ParallelEnvironment
from codi_core.adapters.readings import Readings, episode_seed
from codi_core.adapters.requests import action_array, check_agents, refuse_options
from codi_core.adapters.vector import VectorEnvironment

__all__ = [
    "ParallelEnvironment",
    "Readings",
    "VectorEnvironment",
    "action_array",
    "check_agents",
    "episode_seed",
    "refuse_options",
]
