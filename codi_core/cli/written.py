"""What ``codi-run`` writes besides its numbers."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.errors import UsageError
from codi_core.quantities import check_fields, whole

if TYPE_CHECKING:
    from codi_core.evaluation.run_folder import RunFolder


@attrs.frozen
class Written:
    """What a run writes besides its numbers; no number depends on it.

    Attributes:
        report: whether there is a ``report.png``.
        video: whether there is a ``video.mp4``, if the task has pictures.
        video_episodes: the episodes that the video shows, and whose events are kept for other
            pictures as well; none stand for the first success and the first failure.
        record: the folder of the recording, or None.
    """

    report: bool = True
    video: bool = True
    video_episodes: tuple[int, ...] = attrs.field(
        default=(), converter=tuple, metadata={"type": whole(0)}
    )
    record: str | None = None

    def __attrs_post_init__(self) -> None:
        check_fields(self)

    @property
    def recording(self) -> Path | None:
        """The folder of the recording."""
        return None if self.record is None else Path(self.record)

    @staticmethod
    def add_options(group: argparse._ArgumentGroup) -> None:
        """Add an option for each; what isn't given is None."""
        group.add_argument(
            "--report", action=argparse.BooleanOptionalAction, help="write report.png (default)"
        )
        group.add_argument(
            "--video",
            action=argparse.BooleanOptionalAction,
            help="write video.mp4 if the task has pictures (default)",
        )
        group.add_argument(
            "--video-episodes",
            type=whole(0),
            nargs="+",
            metavar="N",
            help="the episodes in the video (default: the first success and the "
            "first failure of those kept); their events are kept also without it",
        )
        group.add_argument(
            "--record",
            metavar="DIR",
            help="keep all that is observed and executed as a data set, which codi-train trains on",
        )

    @classmethod
    def chosen(cls, given: argparse.Namespace, resumed: RunFolder | None, episodes: int) -> Written:
        """What was given; for a resumed run, what isn't given is as it was.

        Args:
            given: the parsed options.
            resumed: the folder of the run that is gone on with, or None.
            episodes: how many there are.

        Raises:
            UsageError: an episode that the run doesn't have was asked for, or the folder is
                damaged.
        """
        before = _before(resumed)
        asked = {
            field.name: value
            for field in attrs.fields(cls)
            if (value := getattr(given, field.name)) is not None
        }
        _check_episodes(asked.get("video_episodes", ()), episodes)
        if "record" in asked:  # the run may be resumed from elsewhere
            asked["record"] = os.path.abspath(asked["record"])
        return cls(**{**before, **asked})


def _before(resumed: RunFolder | None) -> dict[str, Any]:
    if resumed is None or not resumed.file("config.json").exists():
        return {}
    stored = resumed.config().get("written", {})
    if not isinstance(stored, dict) or not set(stored) <= set(attrs.fields_dict(Written)):
        raise UsageError(f"'{resumed.file('config.json')}' is damaged: its \"written\" is unknown")
    return stored


def _check_episodes(numbers: Sequence[int], episodes: int) -> None:
    beyond = [number for number in numbers if number >= episodes]
    if beyond:
        raise UsageError(
            f"--video-episodes {' '.join(map(str, beyond))}: episodes are numbered from 0, and the "
            f"last of {episodes} is {episodes - 1}"
        )
