"""One experiment: from the resolved configuration to everything that it takes to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import torch

from codi_core.costs import WeightedCost
from codi_core.errors import UsageError
from codi_core.evaluation.tracing import CostOfActions, Tracing
from codi_core.evaluation.waves import MakePlant, WaveRunner
from codi_core.execution import (
    LoopSettings,
    PlanMaker,
    PlanWorker,
    ProcessWorker,
    RecedingHorizon,
    SimulatedPlant,
    ThreadWorker,
)
from codi_core.execution.devices import check_device
from codi_core.execution.finishing import FinishingPlanner
from codi_core.execution.graphs import GraphedPlanner
from codi_core.execution.memory import check_memory
from codi_core.experiments import provenance
from codi_core.experiments.configuration import RunConfig, resolve
from codi_core.experiments.opening import find_task
from codi_core.host.assembly import (
    OpenTask,
    PlannerChoice,
    checkpoint_files,
    make_cost,
    make_environment,
    make_factors,
    make_planner,
    make_predictor,
    plant_factory,
)
from codi_core.host.choices import Choice, parse_choice
from codi_core.host.records import PlannedFor
from codi_core.planning import ChunkLayout, Planner
from codi_core.policies import ProductPolicy
from codi_core.predictors import Predictor
from codi_core.resources import Resources
from codi_core.tasks import Environment, EpisodeKey, PlanSettings, Plant
from codi_core.tasks.task import Advance

ROLLOUT_COPIES = 16
"""So many numbers are held at once for each number of a sample, while samples are rolled out: those
of the handover take about twenty."""
LEVEL_COPIES = 8
"""Likewise for each noise level of a schedule, while it is made."""


@attrs.frozen(eq=False)
class Experiment:
    """A task and a resolved configuration: what can be run, planned, or written down.

    Attributes:
        opened: the task, with its own options.
        config: the resolved configuration.
    """

    opened: OpenTask
    config: RunConfig

    @property
    def resources(self) -> Resources:
        """What the experiment's parts are made with."""
        config = self.config
        return Resources(
            device=config.device, threads=config.physics_threads or 1, seed=config.seed
        )

    def cost(self) -> WeightedCost:
        """The cost that plans are made for."""
        terms = [parse_choice(text, "--cost", weighted=True) for text in self.config.cost]
        opened = self.opened
        return make_cost(opened.host, opened.name, opened.task, terms, self.resources)

    def planner(self) -> Planner:
        """The planner.

        Raises:
            CodiError: an option names something that doesn't exist or doesn't fit.
        """
        config = self.config
        settings = PlanSettings(
            **{field.name: getattr(config, field.name) for field in attrs.fields(PlanSettings)}
        )
        choice = PlannerChoice(
            method=self._chosen("method"),
            policy=self._chosen("policy"),
            posterior=self._chosen("posterior"),
            guidance=self._chosen("guidance"),
            sampler=self._chosen("sampler"),
            predictor=self._chosen("predictor"),
            settings=settings,
            planned_for=self.planned_for(),
            checkpoint=self._checkpoint,
            resources=self.resources,
            precision=config.precision,
        )
        planner = make_planner(self.opened, choice, self.cost())
        finish = self.opened.parts.finish
        if config.finish and finish is not None:
            planner = FinishingPlanner(planner, finish)
        return GraphedPlanner(planner) if config.cuda_graphs else planner

    def product(self) -> ProductPolicy:
        """The product of the base policies (Eq. 13), without a planner around it."""
        policy = self._chosen("policy")
        factors = make_factors(self.opened, policy, self._checkpoint, self.resources)
        return ProductPolicy(factors, self.config.precision)

    def predictor(self) -> Predictor:
        """The predictor."""
        return make_predictor(self.opened, self._chosen("predictor"), self.resources)

    def planned_for(self) -> PlannedFor:
        """What plans are made for, by name."""
        config = self.config
        return PlannedFor(
            task=self.opened.name,
            task_options=config.task_options,
            cost=config.cost,
            predictor=str(config.predictor),
            checkpoints=checkpoint_files(self.opened, self._chosen("policy"), self._checkpoint),
        )

    def environment(self) -> Environment:
        """The environment; its worlds are where its simulator works."""
        choice = None if self.config.simulator is None else self._chosen("simulator")
        return make_environment(self.opened, choice, self.resources)

    def plants(self) -> MakePlant:
        """What makes the plant of each wave: the environment on a virtual clock, or a driver's."""
        config, rate_hz = self.config, self.opened.parts.rate_hz
        if config.driver is not None:
            make = plant_factory(self.opened, self._chosen("driver"), self.resources)
            return lambda keys: make()
        made: list[Environment] = []

        def simulated(keys: Sequence[EpisodeKey]) -> Plant:
            if not made:  # when the first wave starts: it may take its time
                made.append(self.environment())
            return SimulatedPlant(made[0], keys, rate_hz)

        return simulated

    def loop(self, planner: Planner) -> RecedingHorizon:
        """The closed loop around a planner, or around a worker that makes the same one."""
        config, layout = self.config, planner.layout
        settings = LoopSettings(
            rate_hz=self.opened.parts.rate_hz,
            horizon=layout.horizon,
            execute=int(config.execute or 1),
            max_seconds=float(config.max_seconds or 0.0),
            after_success=config.after_success,
            latency=config.latency,  # type: ignore[arg-type]
            history=layout.history,
            offset=layout.offset,
            device=config.device,
        )
        return RecedingHorizon(self._worker(planner) or planner, settings, self.advance)

    @property
    def advance(self) -> Advance | None:
        """What foresees a state while a plan is made."""
        return self.opened.parts.advance

    def _worker(self, planner: Planner) -> PlanWorker | None:
        """Who makes the plans beside the control; None if the loop waits for them."""
        if self.config.worker == "thread":
            return ThreadWorker(planner, self.advance)
        if self.config.worker == "process":
            configuration = attrs.asdict(self.config, recurse=False)
            return ProcessWorker(partial(make_plan_maker, configuration))
        return None

    def wave_runner(self, delays: Mapping[int, Sequence[float]] | None = None) -> WaveRunner:
        """What runs episodes; mistakes in the options show here, before anything is written.

        It is a context manager, which ends what makes plans beside the control.

        Args:
            delays: by episode, the measured delays of an earlier run's plans, to replay them.
        """
        config, parts = self.config, self.opened.parts
        check_device(config.device)
        torch.set_num_threads(config.threads)
        planner = self.planner()
        self._check_memory(planner.layout)
        loop = self.loop(planner)
        return WaveRunner(
            plant=self.plants(),
            loop=loop,
            metrics=parts.metrics,
            seed=config.seed,
            delays=delays or {},
            tracing=Tracing(tuple(parts.agents), self._judge),
        )

    def _check_memory(self, layout: ChunkLayout) -> None:
        """Check that there is room for a plan's samples and steps, before anything is written.

        Raises:
            UsageError: there is not.
        """
        worlds, samples = self.config.worlds or 1, self.config.samples or 1
        numbers = ROLLOUT_COPIES * worlds * samples * layout.size
        check_memory(
            torch.float32.itemsize * numbers,
            f"{samples:,} samples for each of {worlds:,} worlds",
            "give fewer --samples, or fewer --worlds",
            self.config.device,
        )
        steps = self.config.steps or 1
        levels = LEVEL_COPIES * torch.float64.itemsize * steps
        check_memory(levels, f"{steps:,} denoising steps", "give fewer --steps", self.config.device)

    def _judge(self) -> CostOfActions:
        """What says how the cost's terms see executed actions."""
        return CostOfActions(self.predictor(), self.cost(), self.config.device)

    def _chosen(self, option: str) -> Choice:
        """The part that an option of the configuration names."""
        return parse_choice(str(getattr(self.config, option)), f"--{option}")

    @property
    def _checkpoint(self) -> Path | None:
        return None if self.config.checkpoint is None else Path(self.config.checkpoint)

    def document(self, command: Sequence[str]) -> dict[str, Any]:
        """The content of ``config.json``.

        Args:
            command: what was typed.
        """
        return {
            "configuration": attrs.asdict(self.config, recurse=False),
            "command": list(command),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": provenance.versions(self.opened.host),
            "machine": provenance.machine(),
            "checkpoint_sha256": {
                kind: None if path is None else provenance.fingerprint(path)
                for kind, path in self.planned_for().checkpoints.items()
            },
        }


def prepare(task: str, task_options: Mapping[str, Any] | None = None, **options: Any) -> Experiment:
    """An experiment from the options of ``codi-run`` by name.

    Args:
        task: the task's name.
        task_options: values of the task's own options.
        options: the fields of :class:`RunConfig`.

    Raises:
        UsageError: an option that doesn't exist, or a value that it refuses.
    """
    opened = find_task(task).open(task_options)
    return Experiment(opened, resolve(_as_given(options), opened))


def from_config(configuration: Mapping[str, Any]) -> Experiment:
    """The experiment of a resolved configuration, as ``config.json`` holds it.

    Raises:
        UsageError: something is missing in it, or not as it must be.
    """
    for name in ("task", "task_options"):
        if name not in configuration:
            raise UsageError(f'the configuration is damaged: it has no "{name}"')
    opened = find_task(str(configuration["task"])).open(configuration["task_options"])
    return Experiment(opened, resolve({}, opened, configuration))


def make_plan_maker(configuration: Mapping[str, Any]) -> PlanMaker:
    """What makes the plans of a resolved configuration, for another process."""
    experiment = from_config(configuration)
    torch.set_num_threads(experiment.config.threads)
    return PlanMaker(experiment.planner(), experiment.advance)


def _as_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """In Python one cost may be given as a text, and paths as paths."""
    given = dict(options)
    if isinstance(given.get("cost"), str):
        given["cost"] = (given["cost"],)
    if given.get("checkpoint") is not None:
        given["checkpoint"] = str(given["checkpoint"])
    return given
