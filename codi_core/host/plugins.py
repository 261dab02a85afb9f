"""Loads plugins from the entry-point group ``codi``, each one guarded."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from types import MappingProxyType
from typing import Any

import attrs
import pluggy

from codi_core.errors import PluginError
from codi_core.host import hookspecs, records
from codi_core.host.discovery import Source, register_plugin, sources
from codi_core.host.registry import Registry
from codi_core.host.side_effects import Contained

__all__ = ["KINDS", "Host", "PluginInfo", "load_plugins", "register_plugin"]

KINDS: Mapping[str, tuple[str, type[records.Record]]] = MappingProxyType(
    {
        "tasks": ("task", records.TaskRecord),
        "costs": ("cost", records.CostRecord),
        "base_policies": ("base policy", records.BasePolicyRecord),
        "predictors": ("predictor", records.PredictorRecord),
        "posteriors": ("posterior", records.PosteriorRecord),
        "guidances": ("guidance", records.GuidanceRecord),
        "samplers": ("sampler", records.SamplerRecord),
        "simulators": ("simulator", records.SimulatorRecord),
        "drivers": ("driver", records.DriverRecord),
        "methods": ("method", records.MethodRecord),
        "commands": ("command", records.CommandRecord),
        "benchmarks": ("benchmark", records.BenchmarkRecord),
    }
)
"""Per registry: what one entry is called, and its record class. The hook is ``codi_<registry>``."""


@attrs.frozen
class PluginInfo:
    """One plugin as it was found.

    Attributes:
        name: the entry point's name.
        distribution: the distribution that brought it.
        version: the distribution's version.
        registered: the names that it registered, by registry; empty registries are left out.
        error: why it was left out, or None.
        changes: what it did to the whole process when it was loaded, one sentence each.
    """

    name: str
    distribution: str
    version: str
    registered: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    error: BaseException | None = None
    changes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How messages call it."""
        if self.name == self.distribution:
            return f"'{self.name}'"
        return f"'{self.name}' of distribution '{self.distribution}'"

    @property
    def problem(self) -> str | None:
        """The error in one line, or None."""
        if self.error is None:
            return None
        if isinstance(self.error, PluginError):
            return str(self.error)
        return f"{type(self.error).__name__}: {self.error}"


@attrs.frozen(eq=False)
class Host:
    """Everything that is registered, one registry a kind.

    Attributes:
        plugins: all plugins found, broken ones included.
        conflicts: names that were registered more than once.
    """

    plugins: tuple[PluginInfo, ...]
    conflicts: tuple[PluginError, ...]
    tasks: Registry[records.TaskRecord]
    costs: Registry[records.CostRecord]
    base_policies: Registry[records.BasePolicyRecord]
    predictors: Registry[records.PredictorRecord]
    posteriors: Registry[records.PosteriorRecord]
    guidances: Registry[records.GuidanceRecord]
    samplers: Registry[records.SamplerRecord]
    simulators: Registry[records.SimulatorRecord]
    drivers: Registry[records.DriverRecord]
    methods: Registry[records.MethodRecord]
    commands: Registry[records.CommandRecord]
    benchmarks: Registry[records.BenchmarkRecord]

    @property
    def broken(self) -> tuple[PluginInfo, ...]:
        """The plugins that were left out."""
        return tuple(plugin for plugin in self.plugins if plugin.error is not None)


def load_plugins(
    strict: bool = False,
    warn: Callable[[str], None] | None = None,
    entry_points: Iterable[metadata.EntryPoint] | None = None,
) -> Host:
    """Load the built-in plugin, all installed ones, and those of :func:`register_plugin`.

    What is wrong with one of them stays with it. A name that two distributions register can't be
    asked for, unless one of them is ``codi-core``, whose it is then; other names are not affected.

    Args:
        strict: a broken plugin, or a name registered twice, is an error, not a warning.
        warn: takes the warning about each of them; by default :func:`warnings.warn`.
        entry_points: what to load instead of the installed entry points of the group ``codi``.

    Raises:
        PluginError: a broken plugin in strict mode, or a name registered twice.
    """
    loader = _Loader()
    for source in sources(entry_points):
        loader.load(source)
    host = loader.host()
    _report(host, strict, warn or _warn)
    return host


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _report(host: Host, strict: bool, warn: Callable[[str], None]) -> None:
    for plugin in host.broken:
        if strict:
            raise PluginError(
                f"plugin {plugin.label} is broken: {plugin.problem}"
            ) from plugin.error
        warn(f"plugin {plugin.label} is left out: {plugin.problem}")
    for conflict in host.conflicts:
        if strict:
            raise conflict
        warn(str(conflict))
    for plugin in host.plugins:
        for change in plugin.changes:
            warn(f"plugin {plugin.label} {change}")


class _Loader:
    """Registers plugins one by one; what one of them breaks stays with it."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("codi")
        self.manager.add_hookspecs(hookspecs)
        self.registries: dict[str, Registry[Any]] = {
            key: Registry(kind) for key, (kind, _) in KINDS.items()
        }
        self.plugins: list[PluginInfo] = []
        self.conflicts: dict[tuple[str, str], PluginError] = {}

    def load(self, source: Source) -> None:
        label = f"{source.distribution}:{source.name}"
        info = PluginInfo(source.name, source.distribution, source.version)
        found: dict[str, list[records.Record]] = {}
        with Contained(f"while the plugin {info.label} was loaded") as outcome:
            self._register(source.load(), label)
            found = self._collect(label)
        info = attrs.evolve(info, changes=_changes(outcome), error=outcome.error)
        if outcome.error is None:
            registered = {key: self._add(key, items, info) for key, items in found.items()}
            info = attrs.evolve(info, registered=registered)
        elif self.manager.has_plugin(label):
            self.manager.unregister(name=label)
        self.plugins.append(info)

    def host(self) -> Host:
        broken = [plugin.distribution for plugin in self.plugins if plugin.error is not None]
        if broken:
            for registry in self.registries.values():
                registry.hint = f" (left out, because broken: {', '.join(broken)})"
        conflicts = tuple(self.conflicts.values())
        return Host(plugins=tuple(self.plugins), conflicts=conflicts, **self.registries)

    def _register(self, plugin: object, label: str) -> None:
        if inspect.isclass(plugin):
            raise PluginError(
                f"the entry point names the class {plugin.__name__}; it must name a module or "
                "an object with hook implementations"
            )
        self._check_hooks(plugin)
        self.manager.register(plugin, label)
        self.manager.check_pending()

    def _check_hooks(self, plugin: object) -> None:
        """A friendlier ``check_pending()``: it names the hook that was probably meant."""
        valid = [f"codi_{key}" for key in KINDS]
        implementations = 0
        for name in dir(plugin):
            options = self.manager.parse_hookimpl_opts(plugin, name)
            if options is None:
                continue
            implementations += 1
            hook = options.get("specname") or name
            if options.get("optionalhook") or hook in valid:
                continue
            close = difflib.get_close_matches(hook, valid, 1)
            guess = f"; did you mean '{close[0]}'?" if close else f"; valid: {', '.join(valid)}"
            raise PluginError(f"unknown hook '{hook}'{guess}")
        if not implementations:
            raise PluginError(
                "it has no hook implementation: mark functions such as `codi_costs` with "
                "`codi_core.hookimpl`"
            )

    def _collect(self, label: str) -> dict[str, list[records.Record]]:
        """The records of one plugin by registry, each hook called and checked."""
        found: dict[str, list[records.Record]] = {}
        for key, (_, expected) in KINDS.items():
            hook = f"codi_{key}"
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                if implementation.plugin_name != label:
                    continue
                for item in implementation.function():
                    if type(item) is not expected:
                        raise PluginError(
                            f"{hook} yielded {item!r}: it must yield {expected.__name__} records"
                        )
                    found.setdefault(key, []).append(item)
        return found

    def _add(self, key: str, items: list[records.Record], info: PluginInfo) -> tuple[str, ...]:
        for item in items:
            try:
                self.registries[key].add(item, info.distribution)
            except PluginError as error:
                self.conflicts[key, item.name] = error
        return tuple(item.name for item in items)


def _changes(outcome: Contained) -> tuple[str, ...]:
    """What a plugin changed of the process, as the ends of sentences about it."""
    changes = []
    if outcome.undone:
        changes.append(
            f"changed {' and '.join(outcome.undone)} when it was loaded, for every part of the "
            "process; that is undone"
        )
    if outcome.variables:
        changes.append(
            f"changed environment variables when it was loaded, which other parts may heed: "
            f"{', '.join(outcome.variables)}"
        )
    return tuple(changes)
