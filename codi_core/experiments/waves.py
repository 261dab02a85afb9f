"""Runs a wave that another process asks for: a configuration in, plain records out."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from codi_core.evaluation.waves import OnTick, Wave, WaveRunner
from codi_core.experiments.experiment import from_config
from codi_core.files.durable import to_json

_kept = threading.local()
"""Holds the runner of each thread's last wave, under what tells it apart from others."""


def run_wave(
    configuration: Mapping[str, Any],
    numbers: Sequence[int],
    traced: Sequence[int] = (),
    begun: bool = False,
    on_tick: OnTick | None = None,
) -> Wave:
    """Run one wave: a configuration and episode numbers in, plain records out.

    Another process or machine can be asked for it: nothing else crosses. Each thread keeps the
    parts of its last wave for the next one, which mostly has the same configuration.

    Args:
        configuration: a resolved configuration, as ``config.json`` holds it.
        numbers: the episodes that run at once.
        traced: those of them whose events are wanted.
        begun: whether episodes of the run have been finished before. If not, an error that all
            of these end with is raised, not recorded.
        on_tick: told about each control step; for callers in the same process.
    """
    runner = _runner(configuration)
    runner.begun = begun
    torch.set_num_threads(int(configuration["threads"]))
    return runner.run(numbers, frozenset(traced), on_tick)


def check(configuration: Mapping[str, Any]) -> None:
    """Make the parts of a resolved configuration and forget them, so that mistakes show.

    Raises:
        CodiError: an option names something that doesn't exist or doesn't fit.
    """
    experiment = from_config(configuration)
    with experiment.wave_runner():
        if experiment.config.driver is None:
            experiment.environment()


def end_waves() -> None:
    """Forget the parts that this thread's last :func:`run_wave` left for the next one."""
    kept: dict[str, WaveRunner] = vars(_kept)
    while kept:
        _, runner = kept.popitem()
        runner.__exit__(None, None, None)


def _runner(configuration: Mapping[str, Any]) -> WaveRunner:
    kept: dict[str, WaveRunner] = vars(_kept)
    text = to_json(configuration)
    named = [file for word in re.split(r'[",:=]', text) for file in _files(word)]
    key = text + "".join(map(_stamp, named))
    if key not in kept:
        end_waves()
        kept[key] = from_config(configuration).wave_runner()
    return kept[key]


def _files(word: str) -> list[Path]:
    """The file or the folder's files that a word of a configuration names, as checkpoints are."""
    path = Path(word)
    try:
        if os.sep in word and path.is_dir():
            return sorted(entry for entry in path.iterdir() if entry.is_file())
        return [path] if path.is_file() else []
    except OSError:  # too long for a name
        return []


def _stamp(path: Path) -> str:
    """Tells a file's contents apart: training replaces checkpoints in place."""
    state = path.stat()
    return f"{path} {state.st_mtime_ns} {state.st_size}\n"
