"""Loads plugins from the entry-point group ``codi``, each one guarded."""

from __future__ import annotations

import difflib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from functools import partial
from importlib import metadata
from types import MappingProxyType
from typing import Any

import attrs
import pluggy

from codi_core.errors import PluginError
from codi_core.host import hookspecs, records
from codi_core.host.registry import Registry
from codi_core.version import __version__

GROUP = "codi"

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

_OWN: dict[str, object] = {}
"""The plugins of this process that no distribution brought, by name."""


@attrs.frozen
class PluginInfo:
    """One plugin as it was found.

    Attributes:
        name: the entry point's name.
        distribution: the distribution that brought it.
        version: the distribution's version.
        registered: the names that it registered, by registry; empty registries are left out.
        error: why it was left out, or None.
    """

    name: str
    distribution: str
    version: str
    registered: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    error: BaseException | None = None

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
        conflicts: names that two distributions registered.
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


def register_plugin(plugin: object, name: str = "script") -> None:
    """Register hook implementations of a script or a notebook, beside the installed plugins.

    Other processes don't know of them, but for those that import the script again, as Python's
    ``multiprocessing`` does. What others are to use belongs into a distribution.

    Args:
        plugin: a module, such as ``sys.modules[__name__]``, or an object with hook implementations.
        name: what messages call it; it takes the place of one that had the same name.
    """
    _OWN[name] = plugin


def load_plugins(
    strict: bool = False,
    warn: Callable[[str], None] | None = None,
    allow_conflicts: bool = False,
    entry_points: Iterable[metadata.EntryPoint] | None = None,
) -> Host:
    """Load the built-in plugin, all installed ones, and those of :func:`register_plugin`.

    Args:
        strict: a broken plugin is an error, not a warning.
        warn: takes the warning about each broken plugin; by default :func:`warnings.warn`.
        allow_conflicts: keep duplicate names in ``Host.conflicts`` instead of raising; the first
            registration holds.
        entry_points: what to load instead of the installed entry points of the group ``codi``.

    Raises:
        PluginError: a broken plugin in strict mode, or a name registered twice.
    """
    loader = _Loader()
    from codi_core.host import builtins

    loader.load("codi-core", "codi-core", __version__, lambda: builtins)
    found = metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    for entry_point in found:
        dist = entry_point.dist
        name, version = (dist.name, dist.version) if dist else (entry_point.value, "unknown")
        loader.load(entry_point.name, name, version, entry_point.load)
    for own, plugin in _OWN.items():
        loader.load(own, own, "unknown", partial(_given, plugin))
    host = loader.host()
    _report(host, strict, allow_conflicts, warn or _warn)
    return host


def _given(plugin: object) -> object:
    return plugin


def installed() -> tuple[str, ...]:
    """The distributions that have plugins, with versions, from metadata alone."""
    found = {
        f"{entry_point.dist.name} {entry_point.dist.version}": None
        for entry_point in metadata.entry_points(group=GROUP)
        if entry_point.dist is not None
    }
    return tuple(found)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _report(host: Host, strict: bool, allow_conflicts: bool, warn: Callable[[str], None]) -> None:
    for plugin in host.broken:
        if strict:
            raise PluginError(
                f"plugin {plugin.label} is broken: {plugin.problem}"
            ) from plugin.error
        warn(f"plugin {plugin.label} is left out: {plugin.problem}")
    if host.conflicts and not allow_conflicts:
        raise host.conflicts[0]


class _Loader:
    """Registers plugins one by one; what one of them breaks stays with it."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("codi")
        self.manager.add_hookspecs(hookspecs)
        self.registries: dict[str, Registry[Any]] = {
            key: Registry(kind) for key, (kind, _) in KINDS.items()
        }
        self.plugins: list[PluginInfo] = []
        self.conflicts: list[PluginError] = []

    def load(self, name: str, distribution: str, version: str, load: Callable[[], object]) -> None:
        info = PluginInfo(name, distribution, version)
        label = f"{distribution}:{name}"
        try:
            # A plugin that prints must not mix with what the command prints, such as JSON.
            with redirect_stdout(sys.stderr):
                self._register(load(), label)
                found = self._collect(label)
        # A plugin that calls sys.exit() while it is imported must not end the host either.
        except (Exception, SystemExit) as error:
            self._forget(label)
            self.plugins.append(attrs.evolve(info, error=error))
            return
        registered = {key: self._add(key, items, distribution) for key, items in found.items()}
        self.plugins.append(attrs.evolve(info, registered=registered))

    def host(self) -> Host:
        broken = [plugin.distribution for plugin in self.plugins if plugin.error is not None]
        if broken:
            for registry in self.registries.values():
                registry.hint = f" (left out, because broken: {', '.join(broken)})"
        return Host(plugins=tuple(self.plugins), conflicts=tuple(self.conflicts), **self.registries)

    def _register(self, plugin: object, label: str) -> None:
        if inspect.isclass(plugin):
            raise PluginError(
                f"the entry point names the class {plugin.__name__}; it must name a module or "
                "an object with hook implementations"
            )
        self._check_hook_names(plugin)
        self.manager.register(plugin, label)
        self.manager.check_pending()

    def _check_hook_names(self, plugin: object) -> None:
        """A friendlier ``check_pending()``: it names the hook that was probably meant."""
        valid = [f"codi_{key}" for key in KINDS]
        for name in dir(plugin):
            options = self.manager.parse_hookimpl_opts(plugin, name)
            if options is None or options.get("optionalhook") or name in valid:
                continue
            close = difflib.get_close_matches(name, valid, 1)
            guess = f"; did you mean '{close[0]}'?" if close else f"; valid: {', '.join(valid)}"
            raise PluginError(f"unknown hook '{name}'{guess}")

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

    def _add(self, key: str, items: list[records.Record], distribution: str) -> tuple[str, ...]:
        for item in items:
            try:
                self.registries[key].add(item, distribution)
            except PluginError as error:
                self.conflicts.append(error)
        return tuple(item.name for item in items)

    def _forget(self, label: str) -> None:
        if self.manager.has_plugin(label):
            self.manager.unregister(name=label)
