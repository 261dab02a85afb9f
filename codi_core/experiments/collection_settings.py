"""What a collection of demonstrations is made with. Light: the help is made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from codi_core.errors import UsageError
from codi_core.quantities import check_fields, whole

DOCUMENT = "collection.json"
"""Says beside the data how they were made."""

FREE_FIELDS = frozenset({"episodes", "worlds", "threads", "physics_threads"})
"""Settings that a resumed collection may change: a demonstration depends on none of them."""


@attrs.frozen
class CollectionSettings:
    """The options of ``codi-collect`` that are no task's own."""

    episodes: int = attrs.field(
        default=100,
        metadata={"help": "how many demonstrations", "type": whole(1), "metavar": "N"},
    )
    joint: bool = attrs.field(
        default=False,
        metadata={"help": "demonstrate with all agents at once instead of one"},
    )
    seed: int = attrs.field(
        default=0,
        metadata={
            "help": "the seed that everything random derives from",
            "type": whole(0),
            "metavar": "N",
        },
    )
    worlds: int = attrs.field(
        default=50,
        metadata={"help": "how many demonstrations run at once", "type": whole(1), "metavar": "N"},
    )
    threads: int = attrs.field(
        default=1, metadata={"help": "threads for tensors", "type": whole(1), "metavar": "N"}
    )
    physics_threads: int | None = attrs.field(
        default=None,
        metadata={
            "help": "threads for physics (default: one a core)",
            "type": whole(1),
            "metavar": "N",
        },
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def read_document(folder: Path) -> dict[str, Any]:
    """What a collection was made with: its ``collection.json``.

    What the data set itself knows prevails: after a kill or a crash the document may be that of the
    collection which was overwritten, or damaged.

    Raises:
        UsageError: there is no collection.
    """
    noted = _noted_settings(folder)
    try:
        written = dict(json.loads((folder / DOCUMENT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        if noted is None:
            raise UsageError(
                f"there is no collection to resume in '{folder}' ({DOCUMENT}: {error}): leave out "
                "--resume to start one"
            ) from error
        return noted
    return written if noted is None or same(written, noted) else noted


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether demonstrations are the same with both settings."""
    return not differing(one, other)


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names of the settings that demonstrations depend on and that differ."""
    names = {"task", "task_options", *attrs.fields_dict(CollectionSettings)} - FREE_FIELDS
    return [name for name in sorted(names) if one.get(name) != other.get(name)]


def _noted_settings(folder: Path) -> dict[str, Any] | None:
    """What the first demonstrations of a data set were made with, if they say it."""
    from codi_core.data.contents import Commit, episodes_path

    try:
        return dict(Commit.read(episodes_path(folder, 0)).note["settings"])
    except Exception:  # whatever lies there, it is not a collection
        return None
