"""Windows over demonstrations: a frame's observations and the actions that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.data.dataset import DemonstrationDataset
from codi_core.errors import DatasetError
from codi_core.policies import Batch


@attrs.frozen(eq=False)
class Segments:
    """An index of windows; they are gathered when asked for, never stored.

    The window of frame t has the observations of frames t-H+1 … t and the actions of frames
    t+offset … t+offset+K-1. Frames before its episode stand for the episode's first frame, and
    those after it for the last: the last action is repeated.

    Attributes:
        observations: the frames' observations, (frames, ...) each, physical units.
        actions: the frames' actions, (frames, A), physical units.
        frame: t of each window, (windows,) int64.
        first: the first frame of its episode, (windows,) int64.
        last: the last frame of its episode, (windows,) int64.
        horizon: K.
        history: H.
        offset: where chunks start, relative to t.
    """

    observations: dict[str, Tensor]
    actions: Tensor
    frame: Tensor
    first: Tensor
    last: Tensor
    horizon: int
    history: int = 1
    offset: int = 0

    def __len__(self) -> int:
        return len(self.frame)

    def gather(self, windows: Tensor) -> Batch:
        """The windows of these indices (n,), as a batch."""
        past, ahead = self.frames(windows)
        observation = {name: values[past] for name, values in self.observations.items()}
        return Batch(observation, self.actions[ahead])

    def frames(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of the observed frames (n, H) and of those with the actions (n, K)."""
        frame, first, last = (
            values[windows].unsqueeze(1) for values in (self.frame, self.first, self.last)
        )
        device = self.frame.device
        past = frame + torch.arange(1 - self.history, 1, device=device)
        ahead = frame + torch.arange(self.offset, self.offset + self.horizon, device=device)
        past = torch.maximum(past, first)
        return past, torch.minimum(torch.maximum(ahead, first), last)

    def sample(self, generator: torch.Generator, size: int) -> Batch:
        """A batch of windows drawn with replacement."""
        windows = torch.randint(len(self), (size,), generator=generator, device=generator.device)
        return self.gather(windows.to(self.frame.device))

    def state(self) -> dict[str, Any]:
        """Nothing: what is drawn depends on the generator alone."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""

    def to(self, device: torch.device | str) -> Segments:
        """The same windows with their data on another device."""
        return attrs.evolve(
            self,
            observations={name: value.to(device) for name, value in self.observations.items()},
            actions=self.actions.to(device),
            frame=self.frame.to(device),
            first=self.first.to(device),
            last=self.last.to(device),
        )


def segments(
    dataset: DemonstrationDataset,
    horizon: int,
    observations: Sequence[str],
    action: str = "action",
    history: int = 1,
    offset: int = 0,
    episodes: NDArray[np.int64] | None = None,
) -> Segments:
    """Index the windows of all frames of the chosen episodes.

    Args:
        dataset: the demonstrations.
        horizon: K, actions in a chunk.
        observations: the names of the features that are observed.
        action: the name of the feature that is predicted, of shape (A,).
        history: H, how many observations a window has.
        offset: where the chunk starts relative to the present frame.
        episodes: the numbers of the episodes; None takes all.

    Raises:
        DatasetError: a feature was not read, or the choice of episodes is empty.
    """
    missing = [name for name in (*observations, action) if name not in dataset.arrays]
    if missing or not observations or horizon < 1 or history < 1:
        raise DatasetError(
            f"windows need K >= 1, H >= 1, observations and actions; {missing or 'nothing'} is not "
            f"among the features that were read from {dataset.root}: {', '.join(dataset.arrays)}"
        )
    if len(dataset.features[action].shape) != 1:
        raise DatasetError(f"{dataset.root}: feature '{action}' is not a vector of actions")
    chosen = np.arange(dataset.episodes) if episodes is None else np.asarray(episodes)
    if len(chosen) == 0:
        raise DatasetError(f"{dataset.root}: no episode is left to make windows of")
    starts, stops = dataset.episode_starts[chosen], dataset.episode_starts[chosen + 1]
    lengths = stops - starts
    frame = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)])
    return Segments(
        {name: _float(dataset.arrays[name]) for name in observations},
        _float(dataset.arrays[action]),
        torch.from_numpy(frame),
        torch.from_numpy(np.repeat(starts, lengths)),
        torch.from_numpy(np.repeat(stops - 1, lengths)),
        horizon,
        history,
        offset,
    )


def split_episodes(
    episodes: int, held_out: float, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose the episodes to train on and those to hold out, by episode.

    The choice depends on the number of episodes, the share and the seed alone. A positive share
    holds out at least one episode, and one is always left to train on.

    Args:
        episodes: how many there are.
        held_out: the share to hold out, in [0, 1).
        seed: of the choice.

    Returns:
        The sorted numbers of both kinds.

    Raises:
        DatasetError: the share is outside [0, 1), or one episode cannot be split.
    """
    if not 0 <= held_out < 1 or (held_out > 0 and episodes < 2):
        raise DatasetError(
            f"cannot hold out a share of {held_out} of {episodes} episodes: "
            "choose a share in [0, 1), and 0 for a single episode"
        )
    count = min(episodes - 1, max(1, round(episodes * held_out))) if held_out else 0
    order = np.random.default_rng([seed, episodes]).permutation(episodes)
    return np.sort(order[count:]), np.sort(order[:count])


def _float(array: NDArray[np.generic]) -> Tensor:
    # Shares the memory of the data set where it can: training and held-out windows then do too.
    return torch.from_numpy(np.asarray(array, dtype=np.float32))
