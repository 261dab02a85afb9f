"""``codi-plugins``: what is installed, and what each plugin registers."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codi_core.commands.errors import guarded, print_error
from codi_core.commands.options import Parser, add_version
from codi_core.host.side_effects import Contained

if TYPE_CHECKING:
    from codi_core.host.plugins import Host, PluginInfo


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; it exits with 1 if a plugin is broken or two of them clash."""
    parser = Parser(
        prog="codi-plugins", description="List installed plugins and what each registers."
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_version(parser)
    given = parser.parse_args(argv)
    from codi_core.host.plugins import load_plugins

    host = load_plugins(warn=lambda message: None)
    if given.json:
        print(json.dumps(as_json(host), indent=2))
    else:
        _print_tables(host)
    return 1 if host.broken or host.conflicts else 0


def as_json(host: Host) -> dict[str, Any]:
    """The same content for programs."""
    return {
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "registers": {key: list(names) for key, names in plugin.registered.items()},
                "error": plugin.problem,
                "changes": list(plugin.changes),
            }
            for plugin in host.plugins
        ],
        "meant_for": _meant_for(host),
        "tasks": {record.name: _own_parts(host, record.name) for record in host.tasks},
        "conflicts": [str(error) for error in host.conflicts],
    }


def _meant_for(host: Host) -> dict[str, dict[str, list[str]]]:
    """By kind, the tasks of the parts that are meant for some tasks only."""
    found: dict[str, dict[str, list[str]]] = {}
    for plugin in host.plugins:
        for key, names in plugin.registered.items():
            for name in set(names) & set(getattr(host, key).names()):
                tasks = getattr(getattr(host, key).get(name), "tasks", ())
                if tasks:
                    found.setdefault(key, {})[name] = list(tasks)
    return found


def _own_parts(host: Host, name: str) -> dict[str, Any]:
    """What a task brings by itself; its error, if it can't be made with default options."""
    from codi_core.experiments.opening import InstalledTask
    from codi_core.host.assembly import make_task

    found: dict[str, Any] = {}
    # A task may do anything while it is made, as a plugin may while it is loaded.
    with Contained(f"while the task '{name}' was made") as outcome:
        task = make_task(host, name)
        opened = InstalledTask(host, name, task, lambda message: None).open()
        parts = opened.parts
        found = {
            "costs": list(task.costs()),
            "predictors": list(parts.predictors),
            "policies": {offer: parts.policies[offer].summary for offer in parts.policies},
            "presets": list(parts.presets),
            "shadowed": opened.shadowed(),
        }
    if outcome.error is not None:
        return {"error": f"{type(outcome.error).__name__}: {outcome.error}"}
    return found


def _print_tables(host: Host) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for plugin in host.plugins:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        console.print(f"[bold]{plugin.distribution}[/bold] {plugin.version}", highlight=False)
        if plugin.problem is not None:
            print(f"  plugin '{plugin.name}' is broken: {plugin.problem}")
            continue
        for change in plugin.changes:
            print(f"  plugin '{plugin.name}' {change}")
        for kind, name, summary in _rows(host, plugin):
            # As Text: formulas such as E[a|a_t] are no markup.
            table.add_row(f"  {kind}", name, Text(summary))
        console.print(table)
    for error in host.conflicts:
        print_error(str(error))


def _rows(host: Host, plugin: PluginInfo) -> list[tuple[str, str, str]]:
    """One row a record: its kind, name and summary; below a task what it brings by itself."""
    rows = []
    for key, names in plugin.registered.items():
        registry = getattr(host, key)
        for name in names:
            mine = name in registry and registry.origin(name) == plugin.distribution
            summary = registry.get(name).summary if mine else "(registered by another plugin, too)"
            tasks = getattr(registry.get(name), "tasks", ()) if mine else ()
            meant = f" (for {', '.join(tasks)})" if mine and tasks else ""
            rows.append((registry.kind, name, summary + meant))
            if key == "tasks" and mine:
                rows += [("", "", line) for line in _lines(_own_parts(host, name))]
    return rows


def _lines(own: dict[str, Any]) -> list[str]:
    return [
        f"{kind}: {', '.join(found) if not isinstance(found, str) else found}"
        for kind, found in own.items()
        if found
    ]


if __name__ == "__main__":
    sys.exit(main())
