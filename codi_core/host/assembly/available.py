"""Which names a task's options take."""

from __future__ import annotations

from codi_core.host.assembly.costs import available_costs
from codi_core.host.assembly.names import suiting
from codi_core.host.assembly.open_task import OpenTask


def available(opened: OpenTask) -> dict[str, tuple[str, ...]]:
    """By option of a run, the names that it takes for this task, the default ones first."""
    host, parts, task = opened.host, opened.parts, opened.name
    registered = {
        key: tuple(record.name for record in suiting(getattr(host, key), task))
        for key in ("base_policies", "predictors", "simulators", "drivers")
    }
    return {
        "preset": tuple(parts.presets),
        "method": host.methods.names(),
        "policy": (*parts.policies, *registered["base_policies"]),
        "predictor": (*parts.predictors, *registered["predictors"]),
        "simulator": registered["simulators"] if parts.simulator else (),
        "driver": registered["drivers"],
        "posterior": host.posteriors.names(),
        "guidance": host.guidances.names(),
        "sampler": host.samplers.names(),
        "cost": tuple(available_costs(host, task, opened.task)),
    }
