"""Run folders: what ran, what came of it, and everything needed to run it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from codi_core.errors import UsageError
from codi_core.files.durable import (
    append_lines,
    read_lines,
    replacing,
    to_json,
    write_durably,
    writing,
)
from codi_core.quantities import unlike

if TYPE_CHECKING:
    from codi_core.tasks import EpisodeRecord, Trace

OWN_FILES = (
    "config.json",
    "metrics.json",
    "episodes.jsonl",
    "waves.jsonl",
    "delays.json",
    "report.png",
    "video.mp4",
    "video.gif",
    "traces",
)
"""What a run writes, and all that ``--overwrite`` removes."""

BEFORE: Mapping[str, Any] = {"finish": False, "precision": "float32"}
"""How runs were made before there were these options, which such runs don't name."""

FREE_FIELDS = frozenset({"episodes", "physics_threads"})
"""Fields of the configuration that a resumed run may change: they don't change an episode. Threads
of tensor operations do, by rounding."""


_RECORD = {"episode": int, "success": bool, "completion_time_s": float | None}
"""What each line of ``episodes.jsonl`` holds, whatever the task adds."""
_WAVE = {
    "episodes": list[int],
    "replan_seconds": list[float],
    "counts": dict[str, float],
    "stage_seconds": dict[str, float],
    "series": dict[str, list[Real]],
}
"""What each line of ``waves.jsonl`` holds."""
_MAY_HOLD = {
    "world_plans": int,
    "delays": list[float],
    "dropped": list[int],
    "costs": dict[str, dict[str, float]],
}
"""What it may hold besides, from which versions on, and of which clocks."""


@attrs.frozen
class RunFolder:
    """One run's folder.

    Attributes:
        path: where it is.
    """

    path: Path

    def file(self, name: str) -> Path:
        """The path of one of the run's files."""
        return self.path / name

    def prepare(
        self,
        config: Mapping[str, Any],
        resume: bool = False,
        overwrite: bool = False,
        delays: Mapping[int, Sequence[float]] | None = None,
    ) -> None:
        """Make the folder ready for a run of this configuration and write ``config.json``.

        Args:
            config: the whole content of ``config.json``; the resolved options are under
                "configuration".
            resume: go on with the run that is there.
            overwrite: remove the run that is there.
            delays: by episode, the measured delays that a new run replays; a resumed run keeps its
                own, see :meth:`replayed_delays`.

        Raises:
            UsageError: the folder can't be written, holds a run already, or holds a run of
                another configuration or with other checkpoints.
        """
        with writing(self.path, "run folder"):
            if overwrite:
                self._clear()
            if any(self.file(name).exists() for name in ("config.json", "episodes.jsonl")):
                self._check_resumed(resume)
                self.check_resumable(config)
            else:
                # Before the configuration, with which the run can be resumed.
                self._write_delays(delays or {})
            write_durably(self.file("config.json"), to_json(config))

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``.

        Raises:
            UsageError: there is none, or it is not JSON.
        """
        path = self.file("config.json")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"'{self.path}' is not a run folder: {error.strerror}: {path}") from (
                error
            )
        except ValueError as error:
            raise UsageError(f"'{path}' is damaged: {error}") from error
        wanted = _missing(content, {"configuration": dict[str, Any]}) or _missing(
            content["configuration"], {"task": str}
        )
        if wanted:
            raise UsageError(f"'{path}' is damaged: {wanted}")
        return dict(content)

    def commit(self, wave: Mapping[str, Any], records: Iterable[EpisodeRecord]) -> None:
        """Append a finished wave and its episodes, durably."""
        with writing(self.path, "run folder"):
            # The wave goes first: without its episodes it is ignored, never the other way round.
            append_lines(self.file("waves.jsonl"), [wave])
            append_lines(self.file("episodes.jsonl"), records)

    def records(self) -> list[EpisodeRecord]:
        """The finished episodes by number; a line torn by a crash is dropped for good.

        Raises:
            UsageError: a line is damaged, or holds no record.
        """
        records = self._lines("episodes.jsonl", _RECORD)
        for number, record in enumerate(records, 1):
            if record["success"] and record["completion_time_s"] is None:
                path = self.file("episodes.jsonl")
                raise UsageError(
                    f"'{path}' is damaged in line {number}: it is a success without a time"
                )
        return sorted(records, key=lambda record: int(record["episode"]))

    def waves(self) -> list[dict[str, Any]]:
        """The finished waves, each episode in one, without those that were never finished.

        Raises:
            UsageError: a line is damaged, or holds no wave.
        """
        missing = {record["episode"] for record in self.records()}
        waves = []
        # A wave that was cut short before its episodes were written is followed by those that
        # brought them.
        for wave in reversed(self._lines("waves.jsonl", _WAVE)):
            if wave["episodes"] and missing.issuperset(wave["episodes"]):
                missing.difference_update(wave["episodes"])
                waves.append(wave)
        return waves[::-1]

    def delays(self) -> dict[int, list[float]]:
        """By episode, how long its plans took to arrive [s], where that was measured."""
        return {wave["episodes"][0]: wave["delays"] for wave in self.waves() if "delays" in wave}

    def replayed_delays(self) -> dict[int, list[float]]:
        """By episode, the measured delays of an earlier run that this one replays [s]."""
        path = self.file("delays.json")
        if not path.exists():
            return {}
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return {int(number): list(map(float, row)) for number, row in stored.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"'{path}' is damaged: {error}") from error

    def write_metrics(self, metrics: Mapping[str, Any]) -> Path:
        """Write ``metrics.json``; its presence says that the run has a result."""
        path = self.file("metrics.json")
        with writing(self.path, "run folder"):
            write_durably(path, to_json(metrics))
        return path

    def trace_file(self, episode: int) -> Path:
        """Where an episode's events are kept, if they are."""
        return self.file("traces") / f"episode-{episode:05d}.npz"

    def save_trace(self, episode: int, trace: Trace) -> None:
        """Keep one episode's events for pictures."""
        path = self.trace_file(episode)
        arrays: dict[str, Any] = dict(trace)
        with writing(path.parent, "folder"), replacing(path) as stream:
            np.savez_compressed(stream, **arrays)

    def traces(self) -> dict[int, Trace]:
        """The kept traces by episode number.

        Raises:
            UsageError: one is damaged.
        """
        found: dict[int, Trace] = {}
        for path in sorted(self.file("traces").glob("episode-*.npz")):
            try:
                with np.load(path) as content:
                    found[int(path.stem.removeprefix("episode-"))] = dict(content)
            except Exception as error:  # zip files break in many ways
                raise UsageError(
                    f"'{path}' is damaged ({error}): remove it, it is only needed for pictures"
                ) from error
        return found

    def drawable(self, events: Collection[str], command: str) -> dict[int, Trace]:
        """The kept traces by episode number, for a command that draws them.

        Args:
            events: the names that it needs.
            command: how messages call it.

        Raises:
            UsageError: there is no such folder, its episodes have other events, or one is damaged.
        """
        if not self.path.is_dir():
            raise UsageError(f"there is no run folder '{self.path}'")
        traces = self.traces()
        for trace in traces.values():
            missing = sorted(set(events) - set(trace))
            if missing:
                raise UsageError(
                    f"'{self.path}' is no run that {command} draws: its episodes have no "
                    f"{', '.join(missing)}"
                )
        return traces

    def check_resumable(self, config: Mapping[str, Any]) -> None:
        """Check that the run that is there would run the same episodes as this one.

        Args:
            config: the whole content of this one's ``config.json``.

        Raises:
            UsageError: an option or a checkpoint differs.
        """
        self.check_same(config["configuration"])
        self._check_checkpoints(config.get("checkpoint_sha256"))

    def check_same(self, configuration: Mapping[str, Any]) -> None:
        """Check that the run that is there has these resolved options.

        Raises:
            UsageError: it hasn't; the message names the first one that differs.
        """
        there = _comparable(self.config()["configuration"])
        # Through JSON, so that tuples compare with the lists that were written.
        here = _comparable(json.loads(to_json(configuration)))
        for name in sorted({*there, *here} - FREE_FIELDS):
            if there.get(name) != here.get(name):
                raise UsageError(
                    f"cannot resume '{self.path}': {name} was {_short(there.get(name))} and is "
                    f"now {_short(here.get(name))}; give the same options, or another --output"
                )

    def _lines(self, name: str, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The lines of one of the run's files, each checked for what it must hold."""
        path = self.file(name)
        items = read_lines(path)
        for number, item in enumerate(items, 1):
            besides = {name: hint for name, hint in _MAY_HOLD.items() if name in item}
            wanted = _missing(item, {**fields, **besides})
            if wanted:
                raise UsageError(f"'{path}' is damaged in line {number}: {wanted}")
        return items

    def _check_checkpoints(self, digests: Mapping[str, str | None] | None) -> None:
        """Check that episodes were run with the same weights; earlier versions noted none."""
        there = self.config().get("checkpoint_sha256")
        if not isinstance(there, Mapping) or digests is None:
            return
        for kind, digest in digests.items():
            if there.get(kind) != digest:
                raise UsageError(
                    f"cannot resume '{self.path}': the checkpoint of '{kind}' has changed since; "
                    "put back the one that it was, or give another --output"
                )

    def _clear(self) -> None:
        for name in OWN_FILES:
            path = self.file(name)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _write_delays(self, delays: Mapping[int, Sequence[float]]) -> None:
        path = self.file("delays.json")
        path.unlink(missing_ok=True)
        if delays:
            rows = {str(number): list(row) for number, row in delays.items()}
            write_durably(path, to_json(rows))

    def _check_resumed(self, resume: bool) -> None:
        if not resume:
            done = len(read_lines(self.file("episodes.jsonl")))
            raise UsageError(
                f"'{self.path}' already holds a run ({done} finished episodes): --resume goes on "
                "with it, --overwrite removes it, --output chooses another folder"
            )


def _comparable(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """All options; a task's own that are None may be of a version that did not know them."""
    own = configuration.get("task_options") or {}
    given = {name: value for name, value in own.items() if value is not None}
    return {**BEFORE, **configuration, "task_options": given}


def _missing(content: Any, fields: Mapping[str, Any]) -> str | None:
    """What a JSON object lacks of its fields, given with their types; None if it has all."""
    if not isinstance(content, Mapping):
        return "it is no JSON object"
    for name, hint in fields.items():
        if name not in content:
            return f'it has no "{name}"'
        wanted = unlike(content[name], hint)
        if wanted:
            return f'its "{name}" must be {wanted}, not {_short(content[name])}'
    return None


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
