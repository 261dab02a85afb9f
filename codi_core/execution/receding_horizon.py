"""The closed loop: observe, plan K actions, execute E of them, plan again."""

from __future__ import annotations

from collections.abc import Sequence

from codi_core.errors import UsageError
from codi_core.execution.controller import Controller
from codi_core.execution.delays import Delays
from codi_core.execution.plan_worker import InlineWorker, PlanWorker, ThreadWorker
from codi_core.execution.rollout import Observer, Rollout
from codi_core.execution.settings import MEASURED, LoopSettings
from codi_core.planning import Planner
from codi_core.tasks.environment import EpisodeKey
from codi_core.tasks.plant import Plant
from codi_core.tasks.task import Advance


class RecedingHorizon:
    """Executes plans in closed loop.

    Args:
        planner: makes the plans: inline on a virtual clock, in a thread on the wall clock. A
            :class:`PlanWorker` says otherwise; whoever made it ends it.
        settings: how the loop runs.
        advance: foresees the state at which a late plan starts; a worker brings its own.

    Raises:
        UsageError: the settings contradict one another or need ``advance``.
    """

    def __init__(
        self,
        planner: Planner | PlanWorker,
        settings: LoopSettings,
        advance: Advance | None = None,
    ) -> None:
        foresees = planner.foresees if isinstance(planner, PlanWorker) else advance is not None
        settings.check(foresees)
        self.planner = planner
        self.settings = settings
        self.advance = advance
        self._proven = False
        self._thread: ThreadWorker | None = None

    def run(
        self,
        plant: Plant,
        episodes: Sequence[EpisodeKey],
        observer: Observer | None = None,
        delays: Sequence[float] | None = None,
    ) -> Rollout:
        """Run until the time limit, or until the episodes of all worlds are over; stop the plant.

        A world whose episode is over keeps repeating its last plan. No new one is made for it if
        the task's state can be divided by worlds (:class:`Divisible`).

        A world whose plan breaks fails, with the reason in the rollout; the others go on. So does
        the world of a plant on the wall clock for which no valid plan is left: the plant is asked
        to stop, and its episode ends.

        Args:
            plant: B worlds at the start of their episodes. It is entered here.
            episodes: their keys, from which the planning noise derives.
            observer: told about each control step.
            delays: those of an earlier rollout with a measured latency, to replay it.

        Raises:
            UsageError: a latency can't be measured for several worlds, a planner can't plan inline
                on the wall clock, or the delays are those of another run.
            PlantError: the plant failed or does not answer.
            Exception: no world could be planned for.
        """
        with plant:
            self._check(plant, episodes, delays)
            worker = self._worker(plant)
            worker.restart_if_broken()
            controller = Controller(
                self.settings,
                plant,
                episodes,
                worker,
                Delays.of(self.settings, not plant.clock.virtual, delays),
                self._proven,
                observer,
            )
            try:
                return controller.run()
            finally:
                self._proven = controller.proven

    def _worker(self, plant: Plant) -> PlanWorker:
        if isinstance(self.planner, PlanWorker):
            return self.planner
        if plant.clock.virtual:
            return InlineWorker(self.planner, self.advance)
        # Kept: a thread that still plans for an earlier episode must not meet a second one.
        if self._thread is None or self._thread.planner is not self.planner:
            self._thread = ThreadWorker(self.planner, self.advance)
        return self._thread

    def _check(
        self, plant: Plant, episodes: Sequence[EpisodeKey], delays: Sequence[float] | None
    ) -> None:
        if self.settings.latency == MEASURED and len(episodes) > 1:
            raise UsageError(
                f"--latency measured takes the real seconds of planning for one world, not for "
                f"{len(episodes)} at once: run one world at a time (--worlds 1)"
            )
        if delays is not None and not plant.clock.virtual:
            raise UsageError(f"{plant.name} runs on the wall clock: its delays can't be replayed")
        blocks = isinstance(self.planner, PlanWorker) and self.planner.blocks
        if blocks and not plant.clock.virtual:
            raise UsageError(
                f"{plant.name} runs on the wall clock, where a planner must not hold up the "
                "control: plan in a thread or a process"
            )
