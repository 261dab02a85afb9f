"""Long runs against the physics peer, with somebody who puts the cube back."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from codi_core.errors import CodiError, UsageError
from codi_core.experiments import run
from codi_franka.handoff.options import DEFAULT_GOAL, GOAL_CLEARANCE, HandoffOptions
from codi_franka.handoff.starts import left_only, which_arms_grasp
from codi_franka.hardware.bench.peers import Program, peer
from codi_franka.hardware.bench.run_results import TRUTH, Asked, LongRun, Steps, read_wire
from codi_franka.hardware.driver import PEER_PORT
from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.cell import TABLE_SIZE
from codi_franka.robot.controller import HOME
from codi_franka.workspace import EDGE_MARGIN

PLACES = 200
"""So many places are given to the person, who takes them in turn."""
CALIBRATION = "franka-cameras.json"
PICTURES_PORT = 14010
"""Where pictures are delivered."""


def places(seed: int, count: int = PLACES) -> list[list[float]]:
    """Random places (x [m], y [m], yaw [rad]) on the left that only the left arm reaches."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.tensor(TABLE_SIZE) / 2 - EDGE_MARGIN
    found: list[list[float]] = []
    while len(found) < count:
        xy = (2 * torch.rand(256, 2, generator=generator) - 1) * half
        far = (xy - torch.tensor(DEFAULT_GOAL)).norm(dim=-1) >= GOAL_CLEARANCE
        good = xy[left_only(xy) & which_arms_grasp(xy)[:, 0] & far]
        yaw = (2 * torch.rand(len(good), 1, generator=generator) - 1) * torch.pi
        found += torch.cat((good, yaw), -1).tolist()
    return found[:count]


def peer_setup(
    seed: int,
    slowdown: float,
    record: Path | None,
    person: bool,
    box: Box = CUBE,
    attempts: int = 0,
) -> dict[str, Any]:
    """What the physics peer is told.

    Args:
        seed: of the places.
        slowdown: real seconds a second of the peer.
        record: a folder for what is received, or None.
        person: whether somebody puts the cube back.
        box: what stands for the cube.
        attempts: after so many the peer says that the run is over; 0 for never.
    """
    spots = places(seed)
    return {
        "home": list(HOME),
        "cube": spots[0],
        "goal": list(DEFAULT_GOAL),
        "port": PEER_PORT,
        "places": spots[1:] if person else [],
        "record": "" if record is None else str(record),
        "slowdown": slowdown,
        "size": [edge / 2 for edge in box.size],
        "mass": box.mass,
        "attempts": attempts,
    }


def long_run(seed: int, asked: Asked, folder: Path) -> LongRun:
    """Run once: a peer, a person, perhaps cameras, and ``codi-run`` with the driver.

    Args:
        seed: see :class:`~.run_results.LongRun`.
        asked: what is run.
        folder: gets the run folder, the peer's record, the recording, and some of the pictures;
            what an interrupted run has left there is removed.

    Raises:
        CodiError: a program does not start.
        KeyboardInterrupt: somebody interrupted it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    record, box = folder / "wire", HandoffOptions(box=asked.box).handed
    record.mkdir(parents=True)
    setup = peer_setup(seed, asked.slowdown, record, True, box, asked.attempts or 0)
    with ExitStack() as opened:
        opened.enter_context(peer("physics", "physics.py", setup))
        cameras = None
        if asked.cameras != TRUTH:
            cameras = _Cameras(seed, asked, box, folder)
            opened.enter_context(cameras.program)
        failure, metrics = _drive(seed, asked, folder, "" if cameras is None else cameras.options)
    return _result(seed, asked, folder, failure, metrics, cameras)


class _Cameras:
    """The program that draws pictures, and what the driver is told of its cameras.

    Args:
        seed: of the pictures and of the calibration.
        asked: what is run.
        box: what is seen.
        folder: gets the calibration, and some of the pictures.

    Attributes:
        program: running.
        calibration: how far the calibration is off, by camera.
        options: of the driver.
    """

    def __init__(self, seed: int, asked: Asked, box: Box, folder: Path) -> None:
        from codi_franka.hardware.bench import drawing
        from codi_franka.vision.measuring.calibrating import write_calibration

        models = drawing.CAMERAS[asked.cameras]
        file, random = folder / CALIBRATION, np.random.default_rng(seed)
        self.calibration = write_calibration(file, models, random)
        devices = ";".join(f"{model.name}@peer:{PICTURES_PORT}" for model in models)
        self.options = f",cube={file},cameras={devices}"
        told = drawing.Drawing(
            cell=PEER_PORT,
            port=PICTURES_PORT,
            cameras=asked.cameras,
            size=box.size,
            rate=asked.rate,
            seed=seed,
            folder=str(folder / "pictures"),
        )
        command = [sys.executable, "-m", drawing.__name__, json.dumps(attrs.asdict(told))]
        self.program = Program("the program that draws pictures", command, ours=True)

    def exposures(self) -> Mapping[str, Any]:
        """How many pictures were taken."""
        from codi_franka.hardware.bench.drawing import Exposures

        return attrs.asdict(Exposures.of(self.program.events))


def _drive(
    seed: int, asked: Asked, folder: Path, cameras: str
) -> tuple[str | None, Mapping[str, Any]]:
    """Drive the arms; why that ended early, or None, and the metrics."""
    peers = f"left=127.0.0.1,right=127.0.0.2,slowdown={asked.slowdown:g},truth={PEER_PORT}"
    preset: dict[str, Any] = {} if asked.preset is None else {"preset": asked.preset}
    try:
        done = run(
            "franka-handoff",
            task_options={"box": asked.box},
            driver=f"fr3:{peers}{cameras}",
            episodes=1,
            seed=seed,
            max_seconds=asked.seconds,
            output=folder / "run",
            record=folder / "recording",
            **preset,
        )
    except UsageError:
        raise
    except CodiError as error:
        return str(error), {}
    if not done.finished:
        raise KeyboardInterrupt
    return next((record.get("error") for record in done.episodes), None), dict(done.metrics)


def _result(
    seed: int,
    asked: Asked,
    folder: Path,
    failure: str | None,
    metrics: Mapping[str, Any],
    cameras: _Cameras | None,
) -> LongRun:
    record = folder / "wire"
    events = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
    ended = [event for event in events if event["event"] == "attempt"][: asked.attempts]
    rates = [event["hz"] for event in events if event["event"] == "rate"]
    steps = Steps.read(folder / "recording")
    return LongRun(
        seed=seed,
        asked=attrs.asdict(asked),
        attempts=len(ended),
        deliveries=sum(event["how"] == "delivered" for event in ended),
        ended=tuple(event["how"] for event in ended),
        seconds=tuple(event["seconds"] for event in ended),
        at=tuple(steps.when(event["time"]) for event in ended),
        # With so many attempts the peer has ended the run.
        failure=None if asked.attempts == len(ended) else failure,
        robot_errors=steps.robot_errors,
        halts=steps.stops,
        pushes=steps.pushes(),
        slowdown=round(1000 * len(rates) / sum(rates), 2) if rates else 1.0,
        wire={arm: attrs.asdict(report) for arm, report in read_wire(record).items()},
        seeing=attrs.asdict(steps.seeing()),
        pictures=None if cameras is None else cameras.exposures(),
        calibration={}
        if cameras is None
        else {name: attrs.asdict(error) for name, error in cameras.calibration.items()},
        metrics=metrics,
    )
