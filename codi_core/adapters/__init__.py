"""Environments of other libraries as this package's: their worlds, episodes and events.

Nothing of those libraries is imported here; what is used of their environments is named in each
class.
"""

from codi_core.adapters.parallel import ParallelEnvironment
from codi_core.adapters.readings import Readings, episode_seed
from codi_core.adapters.vector import VectorEnvironment

__all__ = ["ParallelEnvironment", "Readings", "VectorEnvironment", "episode_seed"]
