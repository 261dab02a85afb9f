"""``codi franka-replay``: a recorded run once more, in simulation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codi_core.commands.errors import guarded, print_warning
from codi_core.commands.options import Parser
from codi_core.commands.output import say
from codi_core.data import DemonstrationDataset
from codi_core.evaluation.video import PictureError, write_video
from codi_core.experiments import prepare
from codi_core.files.durable import to_json, write_durably, writing
from codi_core.files.pictures import save_figure
from codi_core.quantities import positive, whole
from codi_franka.action import RATE_HZ
from codi_franka.replaying.replay import FEATURES, Replay, replay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROG = "codi franka-replay"
LISTED = (1.0, 2.0, 5.0, 10.0)
"""[s] The times for which distances are told, besides the last one."""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog=PROG,
        description="Drive a simulation by the actions of a recorded run, of real arms for "
        "instance, from the state in its first frame on. How far the two come apart is told and "
        "drawn; the video shows the recording on the left and the simulation on the right.",
        epilog="example:\n  codi-run --task franka-handoff --driver fr3:left=…,right=… --record "
        "recordings/first\n  codi franka-replay recordings/first --output runs/replay",
    )
    parser.add_argument("recording", type=Path, metavar="DIR", help="what --record wrote")
    parser.add_argument(
        "--episode", type=whole(0), default=0, metavar="N", help="which one (default: 0)"
    )
    parser.add_argument(
        "--seconds", type=positive, metavar="S", help="how much of it (default: all of it)"
    )
    parser.add_argument(
        "--simulator",
        default="mujoco",
        metavar="NAME[:option=value,...]",
        help="what simulates (default: mujoco)",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument("--no-video", dest="video", action="store_false", help="no video")
    given = parser.parse_args(argv)
    data = DemonstrationDataset.load(given.recording, FEATURES)
    experiment = prepare(
        "franka-handoff", {"randomize": False}, simulator=given.simulator, physics_threads=1
    )
    environment: Any = experiment.environment()
    steps = None if given.seconds is None else max(1, round(given.seconds * RATE_HZ))
    made = replay(data, given.episode, environment, steps)
    _tell(made)
    with writing(given.output):
        paths = _write(made, given.output, given.video)
    for path in paths:
        say(f"wrote {path}")
    return 0


def _tell(made: Replay) -> None:
    distances, seconds = made.distances(), made.seconds
    times = [time for time in LISTED if time < seconds[-1]] + [float(seconds[-1])]
    say("how far the simulation is from the recording [cm]:")
    for time in times:
        row = round(time * RATE_HZ)
        each = ", ".join(f"{name} {100 * values[row]:.1f}" for name, values in distances.items())
        say(f"  after {time:g} s: {each}")


def _write(made: Replay, folder: Path, video: bool) -> list[Path]:
    distances = {name: values.tolist() for name, values in made.distances().items()}
    figures = {"seconds": made.seconds.tolist(), "distances_m": distances}
    written = [folder / "replay.json", folder / "replay.png"]
    write_durably(written[0], to_json(figures) + "\n")
    save_figure(_figure(made), written[1], dpi=120)
    if video:
        try:
            written.append(_film(made, folder / "replay.mp4"))
        except PictureError as error:
            print_warning(f"no video: {error}")
    return written


def _figure(made: Replay) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in made.distances().items():
        axes.plot(made.seconds, 100 * values, label=name)
    axes.set(
        xlabel="time [s]",
        ylabel="distance [cm]",
        ylim=(0, None),
        title="The simulation from the recording",
    )
    axes.legend(frameon=False)
    return figure


def _film(made: Replay, path: Path) -> Path:
    """The recording on the left, the simulation on the right."""
    from codi_franka.rendering.video_renderer import HandoffRenderer

    renderer = HandoffRenderer()
    pairs = zip(renderer.frames(made.recorded), renderer.frames(made.simulated), strict=True)
    return write_video(path, (np.concatenate(pair, axis=1) for pair in pairs), RATE_HZ)
