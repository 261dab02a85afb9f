"""``codi franka-pictures``: videos, GIFs, film strips and paths of a run's episodes."""

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
from codi_core.quantities import not_negative, positive, whole
from codi_core.tasks import Trace
from codi_franka.action import RATE_HZ
from codi_franka.handoff.metrics import remark
from codi_franka.handoff.options import HandoffOptions
from codi_franka.rendering.video_renderer import POSE_FIELDS, HandoffRenderer
from codi_franka.robot.box import CUBE, Box

PROG = "codi franka-pictures"
EVENTS = (*POSE_FIELDS, "hand_position")
"""What pictures are made of."""
GIF_WIDTH = 400
"""[pixels]"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog=PROG,
        description="Draw episodes of a franka-handoff run into its folder: a video, a GIF, a film "
        "strip of the key moments, and the paths of the hands and the cube seen from above.",
    )
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="the run folder")
    parser.add_argument(
        "--episodes",
        type=whole(0),
        nargs="+",
        metavar="N",
        help="which ones, of the first four, the first that failed, and those that "
        "--video-episodes named (default: all of these)",
    )
    parser.add_argument(
        "--from",
        dest="begin",
        type=not_negative,
        default=0.0,
        metavar="S",
        help="where in each to begin (default: 0)",
    )
    parser.add_argument(
        "--seconds", type=positive, metavar="S", help="how much of each (default: the rest)"
    )
    given = parser.parse_args(argv)
    for path in draw_run(given.run, given.episodes, given.seconds, given.begin):
        say(f"wrote {path}")
    return 0


def draw_run(
    folder: Path,
    episodes: Sequence[int] | None = None,
    seconds: float | None = None,
    begin: float = 0.0,
) -> list[Path]:
    """Draw episodes of a run into its folder; returns the paths of the pictures.

    Args:
        folder: the run folder.
        episodes: their numbers; None for all whose events were kept.
        seconds: how much of each [s]; None for the rest.
        begin: where in each to begin [s].

    Raises:
        CodiError: no run of arms and a cube, the events of an episode were not kept, it ends
            before ``begin``, or there is no OpenGL.
    """
    traces = RunFolder(folder).drawable(EVENTS, PROG)
    chosen = sorted(traces) if episodes is None else list(episodes)
    missing = [number for number in chosen if number not in traces]
    if missing or not chosen:
        kept = ", ".join(map(str, sorted(traces))) or "none"
        wanted = ", ".join(map(str, missing)) or "any"
        raise CodiError(
            f"'{folder}' has no events of episode {wanted}; it kept: {kept}. Run it with "
            "--video-episodes to keep others"
        )
    first = round(begin * RATE_HZ)
    last = None if seconds is None else first + max(round(seconds * RATE_HZ), 1) + 1
    for number in chosen:
        lasted = (len(traces[number]["cube_position"]) - 1) / RATE_HZ
        if begin >= lasted:
            raise CodiError(f"episode {number} ends after {lasted:g} s: --from {begin:g} is later")
    renderer = HandoffRenderer(box=_box(folder))
    return [
        path
        for number in chosen
        for path in _draw_episode(
            renderer,
            Caption.of(RunFolder(folder), number, traces[number], RATE_HZ, remark),
            {name: values[first:last] for name, values in traces[number].items()},
            first,
            folder / f"episode-{number}",
        )
    ]


def _box(folder: Path) -> Box:
    """What was handed over in a run; the cube where nothing is said."""
    if not RunFolder(folder).file("config.json").exists():
        return CUBE
    options = RunFolder(folder).config()["configuration"].get("task_options", {})
    return HandoffOptions(box=options.get("box")).handed


def _draw_episode(
    renderer: HandoffRenderer, caption: Caption, trace: Trace, first: int, name: Path
) -> list[Path]:
    frames = list(caption.under(renderer.frames(trace), first))
    return [
        write_video(name.with_suffix(".mp4"), frames, RATE_HZ),
        write_gif(name.with_suffix(".gif"), frames, RATE_HZ, every=2, width=GIF_WIDTH),
        renderer.film_strip(trace, name.with_name(f"{name.name}-film-strip.png"), first=first),
        _write_paths(renderer, trace, name.with_name(f"{name.name}-paths.png")),
    ]


def _write_paths(renderer: HandoffRenderer, trace: Trace, path: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    renderer.draw_paths(figure.subplots(), trace)
    return save_figure(figure, path, dpi=120)
