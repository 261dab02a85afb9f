"""Long runs against the physics peer, with somebody who puts the cube back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch

from codi_core.errors import CodiError
from codi_core.experiments import run
from codi_franka.handoff.options import DEFAULT_GOAL, GOAL_CLEARANCE
from codi_franka.handoff.starts import left_only, which_arms_grasp
from codi_franka.hardware.bench.peers import peer
from codi_franka.hardware.bench.wire import WireReport, check_commands, read_commands
from codi_franka.hardware.driver import PEER_PORT
from codi_franka.robot.cell import ARMS, TABLE_SIZE
from codi_franka.robot.controller import HOME
from codi_franka.workspace import EDGE_MARGIN

PLACES = 200
"""So many places are given to the person, who takes them in turn."""


@attrs.frozen
class LongRun:
    """What came of a run.

    Attributes:
        seed: of the places and of the planner's noise.
        attempts: how many ended.
        deliveries: how many of them with a delivery.
        ended: how each ended.
        seconds: how long each took.
        failure: why the run ended early, or None.
        slowdown: the real seconds that a second of the arms took.
        wire: what the checker found, by arm.
        metrics: of the run folder; empty if it ended early.
    """

    seed: int
    attempts: int
    deliveries: int
    ended: tuple[str, ...]
    seconds: tuple[float, ...]
    failure: str | None
    slowdown: float
    wire: Mapping[str, WireReport]
    metrics: Mapping[str, Any] = attrs.field(factory=dict)


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


def peer_setup(seed: int, slowdown: float, record: Path | None, person: bool) -> dict[str, Any]:
    """What the physics peer is told."""
    spots = places(seed)
    return {
        "home": list(HOME),
        "cube": spots[0],
        "goal": list(DEFAULT_GOAL),
        "port": PEER_PORT,
        "places": spots[1:] if person else [],
        "record": "" if record is None else str(record),
        "slowdown": slowdown,
    }


def long_run(
    seed: int,
    seconds: float,
    slowdown: float,
    folder: Path,
    options: Mapping[str, Any] | None = None,
) -> LongRun:
    """Run once: a peer, a person, and ``codi-run`` with the driver.

    Args:
        seed: see :class:`LongRun`.
        seconds: how long, in the arms' seconds.
        slowdown: about how many real seconds one of these takes.
        folder: gets the run folder, the peer's record and the recording.
        options: further options of ``codi-run``.
    """
    record = folder / "wire"
    record.mkdir(parents=True, exist_ok=True)
    failure, metrics = None, {}
    driver = f"fr3:left=127.0.0.1,right=127.0.0.2,slowdown={slowdown:g}"
    with peer("physics", "physics.py", peer_setup(seed, slowdown, record, person=True)):
        try:
            done = run(
                "franka-handoff",
                driver=driver,
                episodes=1,
                seed=seed,
                max_seconds=seconds,
                output=folder / "run",
                record=folder / "recording",
                **(options or {}),
            )
            metrics = dict(done.metrics)
        except CodiError as error:
            failure = str(error)
    events = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
    return _result(seed, events, failure, record, metrics)


def _result(
    seed: int,
    events: list[dict[str, Any]],
    failure: str | None,
    record: Path,
    metrics: Mapping[str, Any],
) -> LongRun:
    ended = [event for event in events if event["event"] == "attempt"]
    rates = [event["hz"] for event in events if event["event"] == "rate"]
    wire = {
        arm: check_commands(read_commands(record / f"commands-{number}.f64"))
        for number, arm in enumerate(ARMS)
    }
    return LongRun(
        seed=seed,
        attempts=len(ended),
        deliveries=sum(event["how"] == "delivered" for event in ended),
        ended=tuple(event["how"] for event in ended),
        seconds=tuple(event["seconds"] for event in ended),
        failure=failure,
        slowdown=round(1000 * len(rates) / sum(rates), 2) if rates else 1.0,
        wire=wire,
        metrics=metrics,
    )
