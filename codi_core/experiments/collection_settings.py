"""What a collection of demonstrations is made with. Light: the help is made from it."""

from __future__ import annotations

import json
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
    """The ``collection.json`` of a data set.

    Raises:
        UsageError: there is none, or it is damaged.
    """
    path = folder / DOCUMENT
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        records, _ = content["demonstrations"], float(content["seconds"])
        if not all(isinstance(record["frames"], int) for record in records):
            raise TypeError("a demonstration has no frames")
    except OSError as error:
        raise UsageError(
            f"there is no collection to resume in '{folder}' ({error.strerror}: {path}): leave "
            "out --resume to start one"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"'{path}' is damaged ({error}): collect anew") from error
    return dict(content)
