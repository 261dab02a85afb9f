"""The picture of a run, ``report.png``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from codi_core.errors import MissingExtraError
from codi_core.evaluation.metrics import Wave, completion_times, mean_series, replan_seconds
from codi_core.tasks import EpisodeRecord, Renderer, Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREY, RED = "#3b6fb6", "#8a8f98", "#c8553d"
CORE_FIELDS = ("episode", "success", "completion_time_s")
DISTRIBUTIONS = 3
"""So many of the task's own values get a panel."""
PATHS = 3
"""So many episodes are drawn from above."""

Panel = Callable[["Axes"], None]


def make_report(
    metrics: Mapping[str, Any],
    records: Sequence[EpisodeRecord],
    waves: Sequence[Wave],
    limit: float,
    renderer: Renderer | None = None,
    traces: Mapping[int, Trace] | None = None,
) -> Figure:
    """Draw the run.

    Args:
        metrics: the content of ``metrics.json``.
        records: the finished episodes.
        waves: the waves that they ran in.
        limit: the time limit of an episode [s].
        renderer: draws paths.
        traces: the kept traces by episode.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    # Not pyplot: a report must neither open windows nor touch the user's backend.
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures", "plots") from error

    panels = _panels(metrics, records, waves, limit)
    if renderer is not None:
        drawn = _drawn(records, traces or {})
        panels += [_paths(renderer, number, (traces or {})[number]) for number in drawn]
        for number in drawn[:1]:
            panels += _monitors(renderer, number, (traces or {})[number])
    columns = 3
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.5 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, ax in zip(panels, axes, strict=False):
        panel(ax)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    figure.suptitle(_title(metrics), fontsize=13, fontweight="bold")
    return figure


def _drawn(records: Sequence[EpisodeRecord], traces: Mapping[int, Trace]) -> list[int]:
    """The first episodes whose events were kept; one that failed is among them, if there is one."""
    failed = [r["episode"] for r in records if not r["success"] and r["episode"] in traces]
    first = [number for number in traces if number not in failed[:1]]
    return sorted([*first[: PATHS - len(failed[:1])], *failed[:1]])


def _title(metrics: Mapping[str, Any]) -> str:
    return (
        f"{metrics['task']} · method {metrics['method']} · predictor {metrics['predictor']} · "
        f"{metrics['episodes']} episodes · seed {metrics['seed']}"
    )


def _panels(
    metrics: Mapping[str, Any],
    records: Sequence[EpisodeRecord],
    waves: Sequence[Wave],
    limit: float,
) -> list[Panel]:
    mean = metrics["completion_time_s"]["mean"]
    panels = [_success(metrics), _completion(records, limit, mean)]
    panels += [_distribution(name, records) for name in _numeric_fields(records)[:DISTRIBUTIONS]]
    panels.append(_latency(waves))
    size = mean_series(waves).get("effective_sample_size")
    if size:
        panels.append(_sample_size(size))
    return panels


def _success(metrics: Mapping[str, Any]) -> Panel:
    def draw(ax: Axes) -> None:
        low, high = metrics["success_interval_95"]
        rate = metrics["success_rate"] or 0.0
        ax.barh([0], [rate], color=BLUE, height=0.5)
        ax.errorbar(
            [rate],
            [0],
            xerr=[[max(rate - low, 0)], [max(high - rate, 0)]],
            color="black",
            capsize=5,
        )
        ax.set(
            xlim=(0, 1.02),
            ylim=(-0.8, 0.8),
            yticks=[],
            xlabel="share of the episodes",
            title=f"Success {rate:.1%}\n(95 % interval {low:.1%} to {high:.1%})",
        )

    return draw


def _completion(records: Sequence[EpisodeRecord], limit: float, mean: float | None) -> Panel:
    """The times of successes and the number of failures, with the mean of ``metrics.json``."""

    def draw(ax: Axes) -> None:
        times = completion_times([r for r in records if r["success"]], limit)
        failures = len(records) - len(times)
        ax.hist(times, bins=np.linspace(0, limit, 25).tolist(), color=BLUE, label="succeeded")
        if failures:
            ax.bar([limit], [failures], width=limit / 40, color=RED, label=f"failed ({failures})")
        if mean is not None:
            counted = f", failures as {limit:g} s" if failures else ""
            label = f"mean {mean:.1f} s{counted}"
            ax.axvline(mean, color="black", lw=1, ls="--", label=label)
        ax.legend(frameon=False, fontsize=8)
        ax.set(title="Completion time", xlabel="time [s]", ylabel="episodes")

    return draw


def _numeric_fields(records: Sequence[EpisodeRecord]) -> list[str]:
    """The task's own numbers in the records, those that vary first."""
    # Of an episode that broke, nothing but the reason may be known.
    scored = [record for record in records if "error" not in record]
    names = [
        name
        for name, value in (scored[0].items() if scored else ())
        if name not in CORE_FIELDS
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    ]
    return sorted(names, key=lambda name: len({record.get(name) for record in records}) < 2)


def _distribution(name: str, records: Sequence[EpisodeRecord]) -> Panel:
    def draw(ax: Axes) -> None:
        values = np.sort([record[name] for record in records if record.get(name) is not None])
        values = values[np.isfinite(values)]
        if values.size:
            share = np.arange(1, len(values) + 1) / len(values)
            ax.step(values, share, where="post", color=BLUE)
            median = float(np.median(values))
            ax.axvline(median, color="black", lw=1, ls="--", label=f"median {median:.3g}")
            ax.legend(frameon=False, fontsize=8)
        ax.set(title=name, xlabel=name, ylabel="share of episodes below", ylim=(0, 1.02))

    return draw


def _latency(waves: Sequence[Wave]) -> Panel:
    def draw(ax: Axes) -> None:
        milliseconds = 1e3 * np.asarray(replan_seconds(waves))
        worlds = max((len(wave["episodes"]) for wave in waves), default=0)
        if milliseconds.size:
            # A first plan that compiles or allocates would squeeze all others into one bar.
            top = float(np.percentile(milliseconds, 99)) * 1.05
            ax.hist(np.minimum(milliseconds, top), bins=30, color=GREY)
            ax.axvline(
                float(np.median(milliseconds)),
                color="black",
                lw=1,
                ls="--",
                label=f"median {np.median(milliseconds):.1f} ms",
            )
            ax.legend(frameon=False, fontsize=8)
        ax.set(title=f"Wall time of a plan for {worlds} worlds", xlabel="time [ms]", ylabel="plans")

    return draw


def _sample_size(values: Sequence[float]) -> Panel:
    def draw(ax: Axes) -> None:
        ax.plot(range(1, len(values) + 1), values, color=BLUE, marker="o", ms=3)
        ax.set(
            title="Effective sample size",
            xlabel="denoising step (noise falls to the right)",
            ylabel="samples",
            ylim=(0, None),
        )

    return draw


def _paths(renderer: Renderer, number: int, trace: Trace) -> Panel:
    def draw(ax: Axes) -> None:
        renderer.draw_paths(ax, trace)
        ax.set_title(f"Episode {number}, paths")

    return draw


def _monitors(renderer: Renderer, number: int, trace: Trace) -> list[Panel]:
    """What a real system told of itself in an episode, one panel an event."""

    def monitor(event: str, label: str) -> Panel:
        def draw(ax: Axes) -> None:
            values = np.asarray(trace[event], dtype=float)
            ax.plot(values.reshape(len(values), -1), linewidth=0.8)
            ax.set(title=f"Episode {number}, {label}", xlabel="control step", ylim=(0, None))

        return draw

    monitored = renderer.monitors.items()
    return [monitor(event, label) for event, label in monitored if event in trace]
