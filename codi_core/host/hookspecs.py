"""The hooks that plugins implement. Each takes nothing and yields small frozen records.

Mark implementations with ``hookimpl``; a module with marked functions is a plugin. The entry-point
group is ``codi``.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from codi_core.host.records import (
    BasePolicyRecord,
    BenchmarkRecord,
    CommandRecord,
    CostRecord,
    DriverRecord,
    GuidanceRecord,
    MethodRecord,
    PosteriorRecord,
    PredictorRecord,
    SamplerRecord,
    SimulatorRecord,
    TaskRecord,
)

hookspec = pluggy.HookspecMarker("codi")
hookimpl = pluggy.HookimplMarker("codi")

# The bodies are never run: pluggy reads names and signatures.


@hookspec
def codi_tasks() -> Iterable[TaskRecord]:
    """Yield tasks: problems with environment, base policies, costs and metrics."""
    return ()


@hookspec
def codi_costs() -> Iterable[CostRecord]:
    """Yield cost functions J(s, a), for one task or for all."""
    return ()


@hookspec
def codi_base_policies() -> Iterable[BasePolicyRecord]:
    """Yield kinds of base policies: from what a task's policies read and write to a policy."""
    return ()


@hookspec
def codi_predictors() -> Iterable[PredictorRecord]:
    """Yield predictors, for tasks of other plugins; a task brings its own by itself."""
    return ()


@hookspec
def codi_posteriors() -> Iterable[PosteriorRecord]:
    """Yield approximations of the posterior p(a | a_t) (Eq. 16)."""
    return ()


@hookspec
def codi_guidances() -> Iterable[GuidanceRecord]:
    """Yield estimators of the guidance score (Eq. 14-19)."""
    return ()


@hookspec
def codi_samplers() -> Iterable[SamplerRecord]:
    """Yield integrators of the reverse-time SDE (Eq. 11)."""
    return ()


@hookspec
def codi_simulators() -> Iterable[SimulatorRecord]:
    """Yield physics simulators that exchange dense arrays."""
    return ()


@hookspec
def codi_drivers() -> Iterable[DriverRecord]:
    """Yield hardware drivers: plants on the wall clock."""
    return ()


@hookspec
def codi_methods() -> Iterable[MethodRecord]:
    """Yield whole planning methods: from the parts to a planner."""
    return ()


@hookspec
def codi_commands() -> Iterable[CommandRecord]:
    """Yield commands that ``codi NAME`` runs."""
    return ()


@hookspec
def codi_benchmarks() -> Iterable[BenchmarkRecord]:
    """Yield jobs that ``codi-bench NAME`` runs."""
    return ()
