"""The core metrics of a run, ``metrics.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from codi_core.errors import EpisodeError, SpecificationError
from codi_core.evaluation.statistics import wilson_interval
from codi_core.files.durable import to_json
from codi_core.tasks.metrics import EpisodeRecord, Metrics

WARNINGS = (
    "nan_costs",
    "unguided_steps",
    "failed_predictions",
    "lost_gradients",
    "shortened_plans",
)
"""Counters that say that a plan was made with less than was asked for."""

Wave = Mapping[str, Any]
"""A line of ``waves.jsonl``, see :func:`codi_core.evaluation.runner.wave_summary`."""


def run_metrics(
    configuration: Mapping[str, Any],
    records: Sequence[EpisodeRecord],
    waves: Sequence[Wave],
    task_metrics: Metrics,
) -> dict[str, Any]:
    """The content of ``metrics.json``.

    Args:
        configuration: the run's resolved options; needs task, method, predictor, seed and
            max_seconds.
        records: the finished episodes.
        waves: the waves that they ran in.
        task_metrics: summarises the records for the task.

    Raises:
        EpisodeError: the task's metrics can't summarise the records.
    """
    successes = sum(bool(record["success"]) for record in records)
    counts = _total(wave["counts"] for wave in waves)
    # Of an episode that broke, nothing but the reason may be known.
    scored = [record for record in records if "error" not in record]
    return {
        "task": configuration["task"],
        "method": configuration["method"],
        "episodes": len(records),
        "success_rate": successes / len(records) if records else None,
        "success_interval_95": list(wilson_interval(successes, len(records))),
        "completion_time_s": _completion_times(records, float(configuration["max_seconds"])),
        "replan_latency_s": _latency(waves),
        "late_replans": late_share(waves),
        "rollouts_per_replan": _per_replan(counts.get("rollouts", 0), waves),
        "predictor": configuration["predictor"],
        "seed": configuration["seed"],
        "warnings": {name: int(counts.get(name, 0)) for name in WARNINGS},
        "errors": len(records) - len(scored),
        "task_metrics": _summary(task_metrics, scored) if scored else {},
        "costs": cost_terms(records, waves),
        "diagnostics": _diagnostics(waves),
    }


def _summary(task_metrics: Metrics, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    try:
        found: object = task_metrics.summary(records)
    except Exception as error:
        raise EpisodeError(
            f"{type(task_metrics).__name__} cannot summarise these episodes ("
            f"{type(error).__name__}: {error}): it has a fault, or the records are another "
            "version's or were changed"
        ) from error
    if not isinstance(found, dict):
        raise SpecificationError(
            f"{type(task_metrics).__name__}.summary() returned a {type(found).__name__}; it must "
            "be a dict of metrics"
        )
    return found


def check_record(scored: object, source: str) -> EpisodeRecord:
    """Check what every record of an episode needs.

    Args:
        scored: what the task's metrics made of an episode.
        source: how messages call what made it.

    Raises:
        SpecificationError: something is missing, of another type, or can't be written as JSON.
    """
    if not isinstance(scored, Mapping):
        raise SpecificationError(
            f"{source} returned a {type(scored).__name__}; it must be a record, a dict of values"
        )
    for name in ("success", "completion_time_s"):
        if name not in scored:
            raise SpecificationError(
                f"{source} returned a record without '{name}', which every record needs"
            )
    success, seconds = scored["success"], scored["completion_time_s"]
    if not isinstance(success, bool | np.bool_):
        raise SpecificationError(
            f"{source} returned a record whose 'success' is {success!r}; it must be true or false"
        )
    if success and not (isinstance(seconds, Real) and 0 <= float(seconds) < np.inf):
        raise SpecificationError(
            f"{source} returned a success whose 'completion_time_s' is {seconds!r}; it must be a "
            "number of seconds"
        )
    try:
        to_json(scored)
    except (TypeError, ValueError) as error:
        raise SpecificationError(
            f"{source} returned a record that can't be written as JSON: {error}"
        ) from error
    return dict(scored)


def completion_times(records: Sequence[EpisodeRecord], limit: float) -> list[float]:
    """The completion times [s]; a failure counts as the limit."""
    return [
        float(record["completion_time_s"]) if record["success"] else limit for record in records
    ]


def _completion_times(records: Sequence[EpisodeRecord], limit: float) -> dict[str, Any]:
    times = completion_times(records, limit)
    if not times:
        return {"mean": None, "median": None}
    return {"mean": float(np.mean(times)), "median": float(np.median(times))}


def replan_seconds(waves: Sequence[Wave]) -> list[float]:
    """The wall time of every plan [s]; one serves all worlds of its wave whose task is not done."""
    return [seconds for wave in waves for seconds in wave["replan_seconds"]]


def _latency(waves: Sequence[Wave]) -> dict[str, Any]:
    seconds = replan_seconds(waves)
    if not seconds:
        return {"median": None, "p95": None}
    return {"median": float(np.median(seconds)), "p95": float(np.percentile(seconds, 95))}


def late_share(waves: Sequence[Wave]) -> float | None:
    """The share of plans that arrived after their start; None where the latency was fixed."""
    # The first plan of an episode is waited for.
    dropped = [count for wave in waves for count in wave.get("dropped", ())[1:]]
    return sum(count != 0 for count in dropped) / len(dropped) if dropped else None


def _per_replan(count: float, waves: Sequence[Wave]) -> float | None:
    """A count per plan and world."""
    plans = world_plans(waves)
    return count / plans if plans else None


def world_plans(waves: Sequence[Wave]) -> int:
    """How many plans were made, each world's counted by itself."""
    # Waves of earlier versions don't say: there, all worlds were planned for to the end.
    return sum(
        wave.get("world_plans", len(wave["replan_seconds"]) * len(wave["episodes"]))
        for wave in waves
    )


def cost_terms(records: Sequence[EpisodeRecord], waves: Sequence[Wave]) -> dict[str, float]:
    """What each term of the cost says of what was executed, by name and without its weight.

    A mean over the plans of an episode, and then over those of the episodes whose traces were kept.
    """
    numbers = {str(record["episode"]) for record in records}
    each = [
        costs
        for wave in waves
        for number, costs in wave.get("costs", {}).items()
        if number in numbers
    ]
    names = dict.fromkeys(name for costs in each for name in costs)
    return {name: float(np.mean([c[name] for c in each if name in c])) for name in names}


def _total(counters: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def mean_series(waves: Sequence[Wave]) -> dict[str, list[float]]:
    """Each diagnostic series, averaged over waves by their numbers of episodes."""
    names = dict.fromkeys(name for wave in waves for name in wave["series"])
    means: dict[str, list[float]] = {}
    for name in names:
        having = [wave for wave in waves if name in wave["series"]]
        length = min(len(wave["series"][name]) for wave in having)
        rows = [wave["series"][name][:length] for wave in having]
        weights = [len(wave["episodes"]) for wave in having]
        means[name] = np.average(rows, 0, weights).tolist()
    return means


def _diagnostics(waves: Sequence[Wave]) -> dict[str, Any]:
    """Means of the series, and mean seconds a plan by stage."""
    plans = len(replan_seconds(waves))
    stages = _total(wave["stage_seconds"] for wave in waves)
    return {
        **{name: float(np.mean(values)) for name, values in mean_series(waves).items()},
        "stage_seconds_per_replan": {
            name: value / plans for name, value in stages.items() if plans
        },
    }
