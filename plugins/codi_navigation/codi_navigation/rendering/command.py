"""``codi navigation-pictures``: GIFs, still pictures and space-time plots of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codi_core.commands.errors import guarded
from codi_core.commands.options import Parser
from codi_core.commands.output import say
from codi_core.errors import CodiError
from codi_core.evaluation.captions import Caption
from codi_core.evaluation.run_folder import RunFolder
from codi_core.evaluation.video import write_gif, write_video
from codi_core.files.pictures import save_figure
from codi_core.quantities import whole
from codi_core.tasks import Trace
from codi_navigation.action import RATE_HZ
from codi_navigation.rendering.palette import MAP
from codi_navigation.rendering.remark import remark
from codi_navigation.rendering.renderer import NavigationRenderer

PROG = "codi navigation-pictures"
EVENTS = (
    "position",
    "heading",
    "goal",
    "radius",
    "unicycle",
    "robot_contact",
    "obstacle_contact",
    "extent",
    *(name for name, _ in MAP),
)
"""What pictures are made of."""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog=PROG, description="Draw the episodes of a navigation run whose events were kept."
    )
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="the run folder")
    parser.add_argument(
        "--episodes",
        type=whole(0),
        nargs="+",
        metavar="N",
        help="which ones (default: all kept ones)",
    )
    parser.add_argument(
        "--size",
        type=whole(64),
        default=480,
        metavar="N",
        help="of the longer side [pixels] (default: 480)",
    )
    given = parser.parse_args(argv)
    for path in draw_run(given.run, given.episodes, given.size):
        say(f"wrote {path}")
    return 0


def draw_run(folder: Path, episodes: Sequence[int] | None, size: int) -> list[Path]:
    """Draw episodes of a run into its folder.

    Args:
        folder: the run folder.
        episodes: their numbers; None for all whose events were kept.
        size: the longer side of moving pictures [pixels].

    Raises:
        CodiError: no run of robots in the plane, or the events of an episode were not kept.
    """
    traces = RunFolder(folder).drawable(EVENTS, PROG)
    chosen = sorted(traces) if episodes is None else list(episodes)
    written: list[Path] = []
    for number in chosen:
        if number not in traces:
            kept = ", ".join(map(str, sorted(traces))) or "none"
            raise CodiError(f"{folder} has no events of episode {number}; it kept: {kept}")
        caption = Caption.of(RunFolder(folder), number, traces[number], RATE_HZ, remark)
        written += draw_episode(caption, folder, f"episode-{number}", size)
    return written


def draw_episode(caption: Caption, folder: Path, name: str, size: int) -> list[Path]:
    """Write NAME.mp4, NAME.gif, NAME.png, and NAME-space-time.png if the map has a passage."""
    renderer, trace = NavigationRenderer(size), caption.trace
    frames = list(caption.under(renderer.frames(trace)))
    written = [
        write_video(folder / f"{name}.mp4", frames, RATE_HZ),
        write_gif(folder / f"{name}.gif", frames, RATE_HZ, every=2),
        _write_paths(folder / f"{name}.png", trace, renderer),
    ]
    if trace["passages"].shape[1]:
        written.append(_write_space_time(folder / f"{name}-space-time.png", trace))
    return written


def _write_paths(path: Path, trace: Trace, renderer: NavigationRenderer) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), layout="constrained")
    renderer.draw_paths(figure.subplots(), trace)
    return save_figure(figure, path, dpi=120)


def _write_space_time(path: Path, trace: Trace) -> Path:
    from matplotlib.figure import Figure

    from codi_navigation.rendering.space_time import draw_space_time

    figure = Figure(figsize=(7, 4), layout="constrained")
    draw_space_time(figure.subplots(), trace)
    return save_figure(figure, path, dpi=120)
