"""Joint demonstrations D_MA: what all agents did together, in windows that a task can restore."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs
import torch
from torch import Tensor

from codi_core.data import DemonstrationDataset, Segments, segments
from codi_core.errors import DatasetError, UsageError
from codi_core.execution.devices import to_device
from codi_core.host.assembly import OpenTask
from codi_core.planning import NoiseSource, Observation, PlanContext
from codi_core.policies import ProductPolicy
from codi_core.tasks.task import Restore

ACTION = "action"
"""The feature with the actions of all agents, in order."""


class RecordedStates(Protocol):
    """States that rollouts begin in: those of demonstrations."""

    def __len__(self) -> int: ...

    def states(self, rows: Tensor) -> Any:
        """The task's state estimate in the recorded states (n,), of n worlds."""

    def observation(self, rows: Tensor) -> Observation:
        """The joint observation there, named tensors (n, H, ...)."""


@attrs.frozen(eq=False)
class JointDemonstrations:
    """Windows of joint demonstrations; each frame starts one, and its number is the frame's.

    Beyond an episode's end its last action is repeated. States and observations are restored from
    what was recorded when they are asked for; nothing is stored twice.

    Attributes:
        root: the data set's folder.
        fingerprint: of the content of the episodes that are used.
        episode_starts: (episodes + 1,); episode e is the windows starts[e] to starts[e+1].
        product: says what a window is made of, encodes chunks, and has the device of all results.
        features: what frames are restored from, (frames, n) each.
        windows: which frames belong to which window.
        restore: the task's function.
    """

    root: Path
    fingerprint: str
    episode_starts: Tensor
    product: ProductPolicy
    features: Mapping[str, Tensor]
    windows: Segments
    restore: Restore

    @classmethod
    def load(
        cls, root: Path, opened: OpenTask, product: ProductPolicy, episodes: int | None = None
    ) -> JointDemonstrations:
        """Read joint demonstrations of a task.

        Args:
            root: the data set's folder.
            opened: the task, whose options say what is asked for.
            product: the base policies.
            episodes: how many of the episodes, from the first on; None takes all.

        Raises:
            UsageError: the task can't restore frames, or there are fewer episodes.
            DatasetError: the data can't be read, or are no joint demonstrations of the task.
        """
        restore = opened.parts.restore
        if restore is None:
            raise UsageError(
                f"task '{opened.name}' can't restore the states of recorded frames, which this "
                "method is trained on: its TaskParts need `restore`"
            )
        recorded = DemonstrationDataset.features_of(root)
        names = [name for name in recorded if _restorable(name)]
        dataset = DemonstrationDataset.load(root, [*names, ACTION])
        _check(dataset, opened, product)
        if episodes is not None:
            dataset = _first(dataset, episodes)
        layout = product.layout
        return cls(
            Path(root),
            dataset.fingerprint(),
            torch.from_numpy(dataset.episode_starts),
            product,
            {name: torch.from_numpy(dataset.arrays[name]) for name in names},
            segments(dataset, layout.horizon, names, ACTION, layout.history, layout.offset).to(
                product.device
            ),
            restore,
        )

    def __len__(self) -> int:
        return len(self.windows)

    def states(self, rows: Tensor) -> Any:
        """The task's state estimate in the windows (n,), of n worlds."""
        return to_device(self._restored(rows)[0], self.product.device)

    def observation(self, rows: Tensor) -> Observation:
        """The joint observation of the windows (n,), named tensors (n, H, ...)."""
        past, _ = self.windows.frames(rows.to(self.product.device))
        _, seen = self._restored(past.flatten())
        return {
            name: torch.unflatten(value, 0, past.shape).to(self.product.device)
            for name, value in seen.items()
        }

    def chunks(self, rows: Tensor) -> Tensor:
        """What was done from the windows (n,) on: flat joint chunks, normalised, (n, D)."""
        _, ahead = self.windows.frames(rows.to(self.product.device))
        actions = self.windows.actions[ahead]
        return self.product.encode(actions.split_with_sizes(self.product.layout.action_sizes, -1))

    def _restored(self, frames: Tensor) -> tuple[Any, Observation]:
        rows = frames.cpu()
        return self.restore({name: values[rows] for name, values in self.features.items()})


def plans_in(
    recorded: RecordedStates, rows: Tensor, product: ProductPolicy, noise: tuple[int, int]
) -> PlanContext:
    """Plans that begin in recorded states, with noise that belongs to each of them.

    Args:
        recorded: the states.
        rows: which ones, (n,).
        product: the base policies.
        noise: the seed and the random stream.
    """
    seed, stream = noise
    return PlanContext(
        NoiseSource([(seed, row, stream) for row in rows.tolist()], product.device),
        recorded.observation(rows),
        product.layout,
        recorded.states(rows),
    )


def _restorable(feature: str) -> bool:
    """Whether tasks may restore a frame from a feature of that name."""
    return feature in ("state", "episode") or feature.startswith(("state.", "observation."))


def _check(dataset: DemonstrationDataset, opened: OpenTask, product: ProductPolicy) -> None:
    (found,), wanted = dataset.features[ACTION].shape, sum(product.layout.action_sizes)
    if found != wanted:
        raise DatasetError(
            f"{dataset.root} holds actions of {found} values; those of all agents of task "
            f"'{opened.name}' together have {wanted}: collect with codi-collect --joint"
        )
    if dataset.fps != product.layout.rate_hz:
        raise DatasetError(
            f"{dataset.root} was recorded at {dataset.fps} Hz, the base policies act at "
            f"{product.layout.rate_hz:g} Hz: collect anew for task '{opened.name}'"
        )


def _first(dataset: DemonstrationDataset, episodes: int) -> DemonstrationDataset:
    """The first episodes alone; the others' memory is given back."""
    if episodes > dataset.episodes:
        raise UsageError(
            f"--episodes {episodes}: {dataset.root} has {dataset.episodes}; ask for fewer, or "
            "collect more"
        )
    starts = dataset.episode_starts[: episodes + 1]
    arrays = {name: values[: starts[-1]].copy() for name, values in dataset.arrays.items()}
    return attrs.evolve(
        dataset,
        arrays=arrays,
        episode_starts=starts,
        episode_tasks=dataset.episode_tasks[:episodes],
    )
