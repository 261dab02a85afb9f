"""A run that moves nothing: a simulation that begins where the arms and the cube are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.execution import SimulatedPlant
from codi_core.resources import Resources
from codi_core.tasks import Environment, EpisodeKey, Plant, Step, TaskParts
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.state import FrankaState


class BeginsThere(Environment):
    """An environment whose episodes begin in a state that was measured.

    Args:
        environment: of the task.
        state: of one world.
    """

    def __init__(self, environment: FrankaEnvironment, state: FrankaState) -> None:
        self._environment, self._state = environment, state

    def reset(self, episodes: Sequence[EpisodeKey], rows: Sequence[int] | None = None) -> Step:
        """Begin there."""
        self._environment.reset(episodes, rows)
        return self._environment.restore(self._state, rows)

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        """Apply one action an arm."""
        return self._environment.step(actions)


def dry_run(plant: Plant, parts: TaskParts, resources: Resources) -> Plant:
    """A simulation that begins where a plant is, which is looked at once and left alone.

    Args:
        plant: the real one; it is entered and left here, and nothing is commanded.
        parts: of the task.
        resources: for the simulation.
    """
    with plant:
        seen = plant.observe(0.0)
    environment = parts.environment(resources)
    if not isinstance(environment, FrankaEnvironment):
        raise SpecificationError("a dry run needs the task's own environment")
    key = EpisodeKey(resources.seed, 0)
    return SimulatedPlant(BeginsThere(environment, seen.state), [key], parts.rate_hz)
