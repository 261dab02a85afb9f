"""The folder of a training run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codi_core.errors import UsageError
from codi_core.quantities import flag

CONFIG, CURVE, CURVE_PICTURE = "config.json", "curve.csv", "curve.png"
RESULTS = ("checkpoint.safetensors", CURVE, CURVE_PICTURE, "training-state.pt")
"""What training writes besides ``config.json``."""

KEPT = "checkpoint-{}.safetensors"
"""A checkpoint that is kept on the way, with the number of its step."""

FREE_FIELDS = frozenset({"output", "dataset", "teacher", "stand_in"})
"""Settings that a resumed training may change: places. Threads and devices round differently."""


def read_document(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a training.

    Raises:
        UsageError: there is none, or it is damaged.
    """
    path = folder / CONFIG
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {
            **document,
            "configuration": dict(document["configuration"]),
            "data": dict(document["data"]),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}), so there is no run to resume: "
            "leave out --resume to start one"
        ) from error


def resumed(folder: Path, given: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """The settings of a training that is gone on with.

    Args:
        folder: of the training.
        given: what was given now.
        fields: the names of all settings.

    Raises:
        UsageError: something was given that was different before, or settings are missing.
    """
    saved, names = read_document(folder)["configuration"], set(fields)
    if set(saved) != names:
        different = ", ".join(sorted(set(saved) ^ names))
        raise UsageError(
            f"'{folder}' was trained by another version, whose settings are different "
            f"({different}): start anew in another folder"
        )
    # Through JSON, so that tuples compare with the lists that were written.
    for name in sorted(set(given) - FREE_FIELDS):
        if json.loads(json.dumps(given[name])) != saved[name]:
            raise UsageError(
                f"{flag(name)} was {saved[name]} in {folder}: leave it out to go on, or start a "
                "new run in another folder"
            )
    return {**saved, **given}


def clear(folder: Path) -> None:
    """Remove what an earlier training wrote."""
    kept = folder.glob(KEPT.format("*"))
    for path in (*kept, *(folder / name for name in (CONFIG, *RESULTS))):
        path.unlink(missing_ok=True)
