"""Records what is executed, in simulation or in reality, as a data set that can be trained on."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.data import DatasetWriter, FeatureSpec
from codi_core.data.contents import Commit, episodes_path
from codi_core.data.layout import INFO_PATH
from codi_core.errors import DatasetError, UsageError
from codi_core.execution import ControlStep
from codi_core.files.durable import to_json, write_durably, writing
from codi_core.files.folders import DATA_SET, claimed, visible
from codi_core.files.interrupts import uninterrupted
from codi_core.policies import observation_feature
from codi_core.tasks import EpisodeKey

DOCUMENT = "recording.json"
"""Says beside the data what was run."""

Values = dict[str, NDArray[Any]]
"""What was recorded at one control step, (B, n) each."""


@attrs.frozen
class RecordedTask:
    """What a recording says of the task.

    Attributes:
        name: of the task.
        agents: the agents' names.
        action_names: by agent, the names of its action's values; () if they have none.
        rate_hz: the control rate [Hz].
        ragged: the names of events that are left out, because their sizes differ.
    """

    name: str
    agents: tuple[str, ...]
    action_names: tuple[tuple[str, ...], ...]
    rate_hz: float
    ragged: frozenset[str] = frozenset()

    def value_names(self, feature: str) -> tuple[str, ...] | None:
        """The names of a feature's values, where they are known."""
        if not all(self.action_names) or len(self.action_names) != len(self.agents):
            return None
        own = dict(zip(self.agents, self.action_names, strict=True))
        if feature == "action":
            return tuple(f"{agent}/{name}" for agent, names in own.items() for name in names)
        return own.get(feature.removeprefix("action."))


class Recorder:
    """Keeps the executed steps of a run's episodes; a context manager, which ends its claim.

    Frame t of an episode holds what was known at control step t and the action that was executed
    from there on:

    - ``observation.NAME``: each entry of the joint observation, see
      :func:`~codi_core.policies.observation_feature`;
    - ``action.AGENT``, and ``action`` with those of all agents;
    - ``state.FIELD``: the state estimate, see :func:`state_values`;
    - ``event.NAME``: the events of the true world, but for those that the task calls ragged;
    - ``next.success``, ``next.failed`` and ``next.done``: what came of the action;
    - ``plan``: the number of the plan that the action came from;
    - ``missed``: whether the step was missed on the wall clock, so that the frame repeats the last;
    - ``episode``: the seed and the number of the episode.

    Args:
        folder: the data set.
        task: what is run.
        configuration: what the episodes depend on; a recording goes on with the same alone.
        done: with ``resume``, the episodes that the run has; others in the recording, which a kill
            has kept from the run, are dropped.
        resume: go on with the recording that is there, if there is one.
        overwrite: replace the recording that is there, as soon as there are episodes.

    Raises:
        UsageError: the folder can't be written, or holds something else.
    """

    def __init__(
        self,
        folder: Path,
        task: RecordedTask,
        configuration: Mapping[str, Any],
        *,
        done: Collection[int] = (),
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.folder, self.task, self.resume = folder, task, resume
        self._left_out: dict[int, str] = {}
        # Through JSON, so that tuples compare with the lists that were written.
        self._configuration: dict[str, Any] = json.loads(to_json(configuration))
        self._done = frozenset(done)
        self._writer: DatasetWriter | None = None
        self._pending: list[int] = []
        self._closing = ExitStack()
        self._closing.enter_context(
            claimed(folder, DATA_SET, resume=resume, overwrite=overwrite, option="--record")
        )
        try:
            if visible(folder):
                # Also what --overwrite replaces: it may be demonstrations that somebody collected.
                document = _read(folder)
                if resume:
                    self._take_up(document)
        except BaseException:
            self._closing.close()
            raise

    def wave(self, episodes: Sequence[EpisodeKey]) -> WaveRecording:
        """Begin to record these episodes; nothing is kept of them before :meth:`keep`."""
        return WaveRecording(self.task, tuple(episodes))

    def keep(self, wave: WaveRecording, lengths: NDArray[np.int64]) -> None:
        """Take in the episodes of a wave that has ended.

        An episode with values that aren't finite is left out, and :func:`left_out` says why.

        Args:
            wave: what was recorded.
            lengths: (B,), the rows of events that belong to each world's episode, as in
                :class:`~codi_core.execution.Rollout`.
        """
        for key, frames in wave.episodes(lengths):
            self._pending.append(key.episode)
            bad = _not_finite(frames)
            if bad is not None:
                self._left_out[key.episode] = f"'{bad}' holds NaN or infinity"
            elif len(frames["plan"]):
                self._open(frames).add_episode(frames, self.task.name)

    def commit(self) -> None:
        """Keep the episodes that were taken in, whatever happens from now on."""
        same = {"configuration": self._configuration}
        with uninterrupted(), writing(self.folder, "recording", "--record"):
            if self._writer is not None:
                self._writer.commit({**same, "episodes": self._pending})
            # Without a writer all have been left out so far, and what is to be replaced stays.
            if self._writer is not None or not has_data(self.folder):
                document = {**same, "left_out": self._left_out}
                write_durably(self.folder / DOCUMENT, to_json(document))
            self._pending = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.discard()
        self._closing.close()

    def _open(self, frames: Values) -> DatasetWriter:
        """The writer, which is made when the first episode tells the sizes of all features."""
        if self._writer is None:
            self._writer = DatasetWriter(
                self.folder,
                {name: self._spec(name, values) for name, values in frames.items()},
                self.task.rate_hz,
                self.task.name,
                resume=self.resume,
                accept=self._accept,
                folder_claimed=True,
            )
            noted = {number for note in self._writer.notes for number in note["episodes"]}
            for number in sorted(self._done - noted - set(self._left_out)):
                self._left_out[number] = "it was run without --record"
        wrong = {
            name: spec.shape
            for name, spec in self._writer.features.items()
            if name in frames and frames[name].shape[1:] != spec.shape
        }
        for name, shape in wrong.items():
            raise DatasetError(
                f"'{name}' had {shape} values in the first episode and has "
                f"{frames[name].shape[1:]} now, so '{self.folder}' can't hold it: the task has to "
                "name it among TaskParts.ragged"
            )
        return self._writer

    def _accept(self, note: Any) -> bool:
        same = isinstance(note, dict) and note.get("configuration") == self._configuration
        return same and self._done.issuperset(note["episodes"])

    def _spec(self, feature: str, values: NDArray[Any]) -> FeatureSpec:
        names = ("seed", "number") if feature == "episode" else self.task.value_names(feature)
        known = names is not None and len(names) == values.shape[1]
        return FeatureSpec(values.shape[1:], names if known else None, values.dtype.name)

    def _take_up(self, document: Mapping[str, Any]) -> None:
        """Go on with the recording that is there.

        Raises:
            UsageError: it is that of another run.
        """
        there = document["configuration"]
        self._left_out = {
            episode: why for episode, why in left_out(self.folder).items() if episode in self._done
        }
        for name in sorted({*there, *self._configuration}):
            if there.get(name) != self._configuration.get(name):
                raise UsageError(
                    f"'{self.folder}' holds a recording of another run: {name} was "
                    f"{json.dumps(there.get(name))} and is now "
                    f"{json.dumps(self._configuration.get(name))}; choose another folder with "
                    "--record"
                )


@attrs.define(eq=False)
class WaveRecording:
    """What has been recorded of the episodes of a wave so far.

    Attributes:
        task: what is run.
        keys: the episodes.
    """

    task: RecordedTask
    keys: tuple[EpisodeKey, ...]
    _rows: list[Values] = attrs.field(factory=list, init=False)

    def add(self, step: ControlStep) -> None:
        """Take in a control step."""
        missed = step.tick - len(self._rows) - 1
        values = self._values(step)
        self._rows.append(values)
        repeated = {**values, "missed": np.ones((len(self.keys), 1), bool)}
        self._rows.extend([repeated] * missed)

    def episodes(self, lengths: NDArray[np.int64]) -> Iterator[tuple[EpisodeKey, Values]]:
        """The frames of each episode, (T, n) a feature; T is 0 if no step was executed."""
        columns = {
            name: np.stack([row[name] for row in self._rows])
            for name in (self._rows[0] if self._rows else ())
        }
        for world, key in enumerate(self.keys):
            steps = min(int(lengths[world]) - 1, len(self._rows))
            frames = {name: values[:steps, world] for name, values in columns.items()}
            frames.setdefault("plan", np.zeros((0, 1), np.int64))
            done = np.zeros((steps, 1), bool)
            done[-1:] = True
            source = np.tile(np.array([[key.seed, key.episode]]), (steps, 1))
            yield key, {**frames, "next.done": done, "episode": source}

    def _values(self, step: ControlStep) -> Values:
        worlds, before = len(self.keys), step.before
        actions = {
            f"action.{agent}": _flat(action)
            for agent, action in zip(self.task.agents, step.actions, strict=True)
        }
        events = {
            f"event.{name.replace('/', '.')}": _flat(value)
            for name, value in before.events.items()
            if name not in self.task.ragged and value.dtype.kind in "fiub"
        }
        outcome = {
            f"next.{name}": _flat(step.after.events[event])
            for name, event in (("success", "succeeded"), ("failed", "failed"))
            if event in step.after.events
        }
        values = {
            **_observations(before.observation),
            **actions,
            "action": np.concatenate(list(actions.values()), 1),
            **state_values(before.state, worlds),
            **events,
            **outcome,
            "plan": _flat(step.plans).astype(np.int64),
            "missed": np.zeros((worlds, 1), bool),
        }
        return {name: value for name, value in values.items() if value.shape[1]}


def has_data(folder: Path) -> bool:
    """Whether there is an episode in a recording."""
    return (folder / INFO_PATH).exists()


def left_out(folder: Path) -> dict[int, str]:
    """Why episodes are not in a recording, by their numbers.

    Raises:
        UsageError: the folder holds no recording.
    """
    return {int(number): str(why) for number, why in _read(folder)["left_out"].items()}


def _read(folder: Path) -> dict[str, Any]:
    """The document of a recording; what the data set itself knows prevails."""
    path, noted = folder / DOCUMENT, _noted_configuration(folder)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = {name: dict(document[name]) for name in ("configuration", "left_out")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        if noted is None:
            raise UsageError(
                f"'{folder}' holds no recording of a run ({path}: {error}): choose another folder "
                "with --record"
            ) from error
        return {"configuration": noted, "left_out": {}}
    same = noted is None or found["configuration"] == noted
    return found if same else {"configuration": noted, "left_out": {}}


def _noted_configuration(folder: Path) -> dict[str, Any] | None:
    """What the first episodes of a data set were run with, if they say it."""
    try:
        return dict(Commit.read(episodes_path(folder, 0)).note["configuration"])
    except Exception:  # whatever lies there, it is no recording
        return None


def state_values(state: Any, worlds: int) -> Values:
    """The tensors of a task's state estimate, (B, n) each, by feature.

    A state that is a tensor is ``state``. Of a mapping or an attrs class each value or field that
    is a tensor (B, ...) itself is ``state.NAME``. What lies deeper (maps, routes) is left out, as
    is everything else: its size may differ, and it follows from the episode's key.
    """
    if isinstance(state, Tensor):
        return {"state": _flat(state)}
    if isinstance(state, Mapping):
        fields = dict(state)
    elif attrs.has(type(state)):
        fields = {field.name: getattr(state, field.name) for field in attrs.fields(type(state))}
    else:
        return {}
    return {
        f"state.{name.replace('/', '.')}": _flat(value)
        for name, value in fields.items()
        if isinstance(value, Tensor) and value.ndim and len(value) == worlds
    }


def _observations(observation: Mapping[str, Tensor]) -> Values:
    values = {observation_feature(name): _flat(value) for name, value in observation.items()}
    if len(values) != len(observation):
        raise DatasetError(
            f"entries of the joint observation have the same name in a recording: "
            f"{', '.join(sorted(observation))}"
        )
    return values


def _flat(value: Any) -> NDArray[Any]:
    """A copy of one value a world, (B, n), of a type that data sets have."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        # NumPy has no bfloat16.
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    array = np.array(value)
    if array.dtype.kind in "iu":
        array = array.astype(np.int64)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    return array.reshape(len(array), -1)


def _not_finite(frames: Values) -> str | None:
    for name, values in frames.items():
        if not np.isfinite(values).all():
            return name
    return None
