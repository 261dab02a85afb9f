"""Where plugins are found: the entry points of the group ``codi``, and what scripts bring."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata

import attrs

from codi_core.errors import PluginError
from codi_core.version import __version__

GROUP = "codi"
CORE = "codi-core"
"""The distribution that brings the built-in parts."""

_OWN: dict[str, object] = {}
"""The plugins of this process that no distribution brought, by name."""


@attrs.frozen
class Source:
    """A plugin that can be loaded.

    Attributes:
        name: the entry point's name.
        distribution: the distribution that brings it.
        version: the distribution's version.
        load: imports and returns it.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], object]


def register_plugin(plugin: object, name: str = "script") -> None:
    """Register hook implementations of a script or a notebook, beside the installed plugins.

    Other processes don't know of them, but for those that import the script again, as Python's
    ``multiprocessing`` does. What others are to use belongs into a distribution.

    Args:
        plugin: a module, such as ``sys.modules[__name__]``, or an object with hook implementations.
        name: what messages call it; it takes the place of one that had the same name.
    """
    _OWN[name] = plugin


def sources(entry_points: Iterable[metadata.EntryPoint] | None = None) -> Iterator[Source]:
    """The built-in plugin, the installed ones, and those of :func:`register_plugin`.

    Args:
        entry_points: stand for the installed ones.
    """
    from codi_core.host import builtins

    yield Source(CORE, CORE, __version__, lambda: builtins)
    if entry_points is None:
        yield from _installed()
    else:
        yield from map(_of_entry_point, entry_points)
    for name, plugin in _OWN.items():
        yield Source(name, name, "unknown", lambda plugin=plugin: plugin)  # type: ignore[misc]


def installed() -> tuple[str, ...]:
    """The distributions that have plugins, with versions, from metadata alone."""
    found = {f"{source.distribution} {source.version}": None for source in _installed()}
    return tuple(found)


def _installed() -> Iterator[Source]:
    try:
        found = metadata.entry_points(group=GROUP)
    except Exception:  # any distribution's damaged metadata, of whatever group
        yield from _one_by_one()
        return
    yield from map(_of_entry_point, found)


def _one_by_one() -> Iterator[Source]:
    """The plugins of each distribution whose metadata can be read; the others are broken ones."""
    seen: set[str] = set()
    for distribution in metadata.distributions():
        fields = distribution.metadata
        name = _known(lambda fields=fields: fields["Name"])  # type: ignore[misc]
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution.entry_points.select(group=GROUP)
        except Exception as error:
            yield Source(name, name, "unknown", _unreadable(error))
        else:
            yield from map(_of_entry_point, found)


def _unreadable(error: Exception) -> Callable[[], object]:
    def load() -> object:
        raise PluginError(
            f"its list of entry points is damaged ({type(error).__name__}: {error}): install it "
            "again"
        )

    return load


def _of_entry_point(entry_point: metadata.EntryPoint) -> Source:
    distribution, value = entry_point.dist, entry_point.value
    if distribution is None:
        return Source(entry_point.name, value, "unknown", entry_point.load)
    return Source(
        entry_point.name,
        _known(lambda: distribution.name, value),
        _known(lambda: distribution.version),
        entry_point.load,
    )


def _known(read: Callable[[], str | None], otherwise: str = "unknown") -> str:
    """What damaged metadata may lack."""
    with contextlib.suppress(KeyError):
        return read() or otherwise
    return otherwise
