"""One plan from one observation, beside what the base policies would do without guidance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch
from torch import Tensor

from codi_core.composition.particles import sample_many
from codi_core.errors import MissingExtraError, UsageError
from codi_core.execution import ControlStep
from codi_core.execution.devices import to_device
from codi_core.experiments.experiment import Experiment, check_device, prepare
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
        CodiError: an option or a part is not as it must be.
    """
    experiment = prepare(task, task_options, **options)
    check_device(experiment.config.device)
    planner = experiment.planner()
    step = _observed(experiment, planner, episode, after)
    key = (experiment.config.seed, episode)
    context = _context(experiment, planner, step, (*key, 0))  # the noise of a run's first plan
    made = planner.plan(context)
    with torch.no_grad():
        apart = _context(experiment, planner, step, (*key, stream("unguided samples")))
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


def _observed(experiment: Experiment, planner: Planner, episode: int, after: float) -> Step:
    """What one world looks like so long after its start."""
    key = EpisodeKey(experiment.config.seed, episode)
    if not after:
        return experiment.environment().reset([key])
    closed = attrs.evolve(experiment.config, max_seconds=after, after_success=None)
    running = Experiment(experiment.opened, closed)
    seen: list[ControlStep] = []
    running.loop(planner).run(running.plants()([key]), [key], seen.append)
    return seen[-1].after


def _context(
    experiment: Experiment, planner: Planner, step: Step, key: tuple[int, int, int]
) -> PlanContext:
    device, history = experiment.config.device, planner.layout.history
    observation = {
        name: value.unsqueeze(1).expand(-1, history, *value.shape[1:]).to(device)
        for name, value in step.observation.items()
    }
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
