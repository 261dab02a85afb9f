"""Pictures that are whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from codi_core.files.durable import replacing, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path, **options: Any) -> Path:
    """Write a matplotlib figure in the format that the file's name says; returns the path.

    What was there stays until the new picture is whole: a full disk leaves no half of one.

    Args:
        figure: the figure.
        path: where.
        options: those of ``Figure.savefig``.

    Raises:
        UsageError: the picture can't be written.
    """
    with writing(path.parent, "folder"), replacing(path) as stream:
        figure.savefig(stream, format=path.suffix.removeprefix("."), **options)
    return path
