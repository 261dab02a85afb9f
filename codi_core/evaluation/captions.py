"""What stands under the pictures of an episode: what is seen, when, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import attrs
import numpy as np

from codi_core.evaluation.video import Frame, PictureError
from codi_core.tasks import EpisodeRecord, Trace

if TYPE_CHECKING:
    from codi_core.evaluation.run_folder import RunFolder

Remark = Callable[[Trace, int], str]
"""What a task says of a control step of an episode, such as how far the object is from its goal."""

AFTER_SUCCESS = 3.0
"""So long after an episode's success its film goes on [s]."""

_INK, _PAPER = (238, 240, 243), (32, 36, 44)


@attrs.frozen(eq=False)
class Caption:
    """The caption of one episode's pictures.

    Attributes:
        title: what is seen.
        record: the episode's record; None if it was never finished.
        trace: its events.
        rate_hz: the control rate [Hz].
        remark: what the task says of a step, or None.
    """

    title: str
    record: EpisodeRecord | None
    trace: Trace
    rate_hz: float
    remark: Remark | None = None

    @classmethod
    def of(
        cls, folder: RunFolder, episode: int, trace: Trace, rate_hz: float, remark: Remark | None
    ) -> Caption:
        """The caption of an episode of a run folder.

        Raises:
            UsageError: the folder is damaged.
        """
        if not folder.file("config.json").exists():
            return cls(f"episode {episode}", None, trace, rate_hz, remark)
        configuration = folder.config()["configuration"]
        records = {record["episode"]: record for record in folder.records()}
        title = f"{configuration['task']} · {configuration.get('method')} · episode {episode}"
        return cls(title, records.get(episode), trace, rate_hz, remark)

    @property
    def success(self) -> float | None:
        """When the episode succeeded [s]; None if it didn't."""
        if self.record is None or not self.record["success"]:
            return None
        return float(self.record["completion_time_s"])

    def steps(self) -> int | None:
        """How many pictures show what matters: up to a while after success; None for all."""
        if self.success is None:
            return None
        return math.ceil(round((self.success + AFTER_SUCCESS) * self.rate_hz, 6)) + 1

    def lines(self, step: int) -> tuple[str, str]:
        """What is seen, and what is said of one control step."""
        seconds, success = step / self.rate_hz, self.success
        said = [f"{seconds:.1f} s"]
        if self.record is not None and success is None:
            said.append("without success")
        elif success is not None and seconds >= success:
            said.append(f"success at {success:.1f} s")
        if self.remark is not None:
            said.append(self.remark(self.trace, step))
        return self.title, " · ".join(said)

    def under(self, frames: Iterable[Frame], first: int = 0) -> Iterator[Frame]:
        """The frames, one a control step, with the caption on a band below.

        Args:
            frames: of one size.
            first: the control step of the first one.

        Raises:
            PictureError: Pillow is not installed.
        """
        for step, frame in enumerate(frames, first):
            yield np.concatenate((frame, _band(frame.shape[1], self.lines(step))))


def _band(width: int, lines: Iterable[str]) -> Frame:
    """Lines of text, as a picture (height, width, 3) of even height."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise PictureError(
            "videos need the package pillow: pip install 'codi-core[video]'"
        ) from error
    rows = list(lines)
    size = min(max(width // 38, 8), 18)
    font = ImageFont.load_default(size)
    height = (len(rows) * (size + 4) + 6) // 2 * 2
    picture = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(picture)
    for row, text in enumerate(rows):
        draw.text((6, 3 + row * (size + 4)), text, fill=_INK, font=font)
    return np.asarray(picture)
