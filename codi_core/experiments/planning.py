"""One plan from one observation, beside what the base policies would do without guidance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch
from torch import Tensor

from codi_core.composition.particles import sample_many
from codi_core.errors import EpisodeError, MissingExtraError, PlanError, UsageError
from codi_core.execution import ControlStep, check_plan
from codi_core.execution.devices import check_device, to_device
from codi_core.execution.history import History
from codi_core.execution.plan_check import NOT_FINITE
from codi_core.experiments.experiment import Experiment, prepare
from codi_core.planning import NoiseSource, Plan, PlanContext, Planner
from codi_core.planning.noise import stream
from codi_core.samplers import AncestralSampler, KarrasSchedule
from codi_core.tasks import EpisodeKey, Step

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@attrs.frozen(eq=False)
class Planned:
    """One plan of one world, and samples of the base policies for the same observation.

    Attributes:
        experiment: what was planned.
        step: what was observed.
        plan: the plan, of B = 1 world.
        unguided: one chunk an agent of each of M samples of the base policies, (1, M, K, A_i),
            physical units.
        unguided_trajectory: where the predictor foresees these samples to lead, (1, M, K, ...).
        unguided_cost: their costs, (M,).
        trajectory: where it foresees the plan to lead, (1, 1, K, ...).
        cost: of the plan.
    """

    experiment: Experiment
    step: Step
    plan: Plan
    unguided: tuple[Tensor, ...]
    unguided_trajectory: Any
    unguided_cost: Tensor
    trajectory: Any
    cost: float

    def figure(self) -> Figure:
        """The foreseen paths seen from above: thin without guidance, bold for the plan.

        Raises:
            UsageError: the task doesn't say which paths to draw.
            MissingExtraError: matplotlib is not installed.
        """
        paths = self.experiment.opened.parts.paths
        if paths is None:
            raise UsageError(
                f"task '{self.experiment.opened.name}' names no paths to draw: its TaskParts need "
                "`paths`"
            )
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingExtraError("pictures", "plots") from error
        figure = Figure(figsize=(7.0, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        samples, planned = paths(self.unguided_trajectory), paths(self.trajectory)
        for number, (name, bold) in enumerate(planned.items()):
            colour = f"C{number}"
            thin, line = _points(samples[name])[0], _points(bold)[0, 0]
            for path in thin:
                axes.plot(*path.T, color=colour, alpha=0.25, lw=0.7)
            axes.plot(*line.T, color=colour, lw=2.5, label=name)
            axes.plot(*line[-1], "o", color=colour, ms=6)
        axes.set(aspect="equal", xlabel="x [m]", ylabel="y [m]")
        axes.set_title(
            f"{len(self.unguided_cost)} samples without guidance (thin, median cost "
            f"{float(self.unguided_cost.nanmedian()):.3g})\nand the plan (bold, cost "
            f"{self.cost:.3g})",
            fontsize=10,
        )
        if len(planned) <= 12:
            axes.legend(frameon=False, fontsize=8)
        return figure


def plan(
    task: str,
    *,
    episode: int = 0,
    after: float = 0.0,
    unguided: int = 64,
    task_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Planned:
    """Plan once, as ``codi-run`` with these options would.

    Args:
        task: the task's name.
        episode: the number of the episode that is begun.
        after: how long it runs in closed loop before the plan is made [s].
        unguided: M, how many samples of the base policies are drawn beside the plan.
        task_options: values of the task's own options by name.
        options: the options of ``codi-run`` by name: ``method="codi"``, ``seed=1``, …

    Raises:
        CodiError: an option or a part is not as it must be, or no plan can be made.
    """
    if episode < 0:
        raise UsageError(f"episodes are numbered from 0: there is none of number {episode}")
    experiment = prepare(task, task_options, **options)
    if experiment.config.driver is not None:
        raise UsageError("a single plan is made from a simulation: leave the driver out")
    check_device(experiment.config.device)
    planner = experiment.planner()
    step, history = _observed(experiment, planner, episode, after)
    key = (experiment.config.seed, episode)
    # The noise of a run's first plan.
    context = _context(experiment, planner, step, history, (*key, 0))
    made = planner.plan(context)
    name = type(planner).__name__
    if not bool(check_plan(made, planner.layout, 1, name).all()):
        raise PlanError(f"the actions that {name} planned {NOT_FINITE}")
    with torch.no_grad():
        apart = _context(experiment, planner, step, history, (*key, stream("unguided samples")))
        samples = _unguided(experiment, apart, unguided)
    predictor, cost, state = experiment.predictor(), experiment.cost(), context.state
    foreseen = predictor.predict(state, samples).trajectory
    planned = predictor.predict(state, tuple(c.unsqueeze(1) for c in made.chunks)).trajectory
    return Planned(
        experiment,
        step,
        made,
        samples,
        foreseen,
        cost(foreseen)[0],
        planned,
        float(cost(planned)),
    )


def _observed(
    experiment: Experiment, planner: Planner, episode: int, after: float
) -> tuple[Step, History]:
    """What one world looks like so long after its start, and its last observations.

    Raises:
        EpisodeError: its episode broke before that.
    """
    key, history = EpisodeKey(experiment.config.seed, episode), History(planner.layout.history)
    if not after:
        step = experiment.environment().reset([key])
        history.push(step.observation)
        return step, history
    # Time stands still while plans are made, so nobody needs to make them beside the control.
    closed = attrs.evolve(experiment.config, max_seconds=after, after_success=None, worker="inline")
    running = Experiment(experiment.opened, closed)
    seen: list[ControlStep] = []
    rollout = running.loop(planner).run(running.plants()([key]), [key], seen.append)
    if rollout.failures[0] is not None:
        raise EpisodeError(
            f"episode {episode} breaks within its first {after:g} s: {rollout.failures[0]}"
        )
    for step in (seen[0].before, *(told.after for told in seen)):
        history.push(step.observation)
    return seen[-1].after, history


def _context(
    experiment: Experiment,
    planner: Planner,
    step: Step,
    history: History,
    key: tuple[int, int, int],
) -> PlanContext:
    device = experiment.config.device
    observation = to_device(history.stacked(), device)
    state = to_device(step.state, device)
    return PlanContext(NoiseSource([key], device), observation, planner.layout, state)


def _unguided(experiment: Experiment, context: PlanContext, count: int) -> tuple[Tensor, ...]:
    """Samples of the product policy, one chunk an agent, (1, count, K, A_i)."""
    product, config = experiment.product(), experiment.config
    schedule = KarrasSchedule(config.steps, config.sigma_max, config.sigma_min, config.rho)  # type: ignore[arg-type]
    denoiser = product.denoiser(context.observation)
    flat = sample_many(AncestralSampler(schedule), denoiser, count, product.size, context)
    return product.decode(flat)


def _points(path: Tensor) -> np.ndarray[Any, Any]:
    return path.detach().cpu().numpy()
