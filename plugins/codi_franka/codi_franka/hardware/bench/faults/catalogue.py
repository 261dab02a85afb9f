"""The faults: what is done to arms, network, cameras, planner and computer while both arms move."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Sequence
from itertools import combinations

import attrs

from codi_core.errors import UsageError
from codi_core.host.registry import nearest_first
from codi_franka.hardware.bench.faults.site import Site

LEFT, RIGHT = 0, 1
"""The arms; network faults and reflexes happen to the left one."""
CONNECTION = "connection"
"""The kind of faults in which that arm can't be reached."""
DISCONNECTED = 1.0
"""[s] For which an arm can't be reached."""
PAUSE = 0.5
"""[s] For which the driver's program stands still."""
JUMP = 10.0
"""[s] By which a clock is set forward or back."""
FULL = 64
"""Bytes that a file may have on a full disk."""


@attrs.frozen
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: of it.
        kind: two of one kind exclude each other.
        text: what happens, for the table.
        inject: makes it happen; may wait, for it is called in a thread of its own.
        seconds: how long the episode goes on afterwards [s].
        arms: the numbers of those that may stop by themselves, or can't be reached.
        again: whether a further episode must be possible afterwards.
        earlier: whether there must be an earlier episode, whose recording must survive.
    """

    name: str
    kind: str
    text: str
    inject: Callable[[Site], None]
    seconds: float = 1.6
    arms: tuple[int, ...] = ()
    again: bool = False
    earlier: bool = False


def _line(**change: object) -> Callable[[Site], None]:
    return lambda site: site.network.tell(arm=LEFT, **change)


def _for_a_while(name: str) -> Callable[[Site], None]:
    def inject(site: Site) -> None:
        site.network.tell(arm=LEFT, **{name: True})
        site.sleep(DISCONNECTED)
        site.network.tell(arm=LEFT, **{name: False})

    return inject


def _freeze(site: Site) -> None:
    next(iter(site.cameras.values())).frozen = True


def _lose(site: Site) -> None:
    for camera in site.cameras.values():
        camera.lost = True


def _move(site: Site) -> None:
    for camera in site.cameras.values():
        camera.place = 1


def _pause(site: Site) -> None:
    """Stop this very process, which somebody else must let go on."""
    seconds = PAUSE * site.slowdown
    script = f"kill -STOP {os.getpid()}; sleep {seconds:.2f}; kill -CONT {os.getpid()}"
    subprocess.run(["sh", "-c", script], check=False)


def _planner(number: signal.Signals) -> Callable[[Site], None]:
    def inject(site: Site) -> None:
        if site.worker.pid is not None:
            os.kill(site.worker.pid, number)

    return inject


def _fill_disk(site: Site) -> None:
    """No file of this process can grow beyond some bytes any more, as on a full disk."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, hard))


def _on_the_line(name: str, kind: str, text: str, **change: float) -> Fault:
    """What befalls the messages to and from the left arm."""
    return Fault(name, kind, text, _line(**change), seconds=3.0, arms=(LEFT,))


def _delay(ms: int) -> Fault:
    text = f"each message to and from the left arm takes {ms} ms longer"
    return _on_the_line(f"delay-{ms}", "delay", text, delay=ms / 1000)


def _loss(percent: int) -> Fault:
    text = f"{percent} % of the messages to and from the left arm are lost"
    return _on_the_line(f"loss-{percent}", "loss", text, loss=percent / 100)


_ALL = [
    Fault("none", "none", "nothing, for comparison", lambda site: None),
    *map(_delay, (5, 20, 50, 100, 300)),
    _on_the_line(
        "jitter",
        "delay",
        "each message to and from the left arm takes up to 20 ms longer, each another time",
        jitter=0.02,
    ),
    *map(_loss, (1, 5, 30)),
    Fault(
        "cable",
        CONNECTION,
        "the left arm's cable is pulled, and put back after a second",
        _for_a_while("dead"),
        arms=(LEFT,),
        again=True,
    ),
    Fault(
        "connection",
        CONNECTION,
        "the left arm closes its connections, and takes new ones after a second",
        _for_a_while("closed"),
        arms=(LEFT,),
        again=True,
    ),
    Fault(
        "reflex",
        "reflex",
        "the left arm stops by itself, as at a contact",
        lambda site: site.arms.tell(reflex=LEFT),
        seconds=2.5,
        arms=(LEFT,),
    ),
    Fault(
        "hand",
        "hand",
        "the left hand answers nothing any more",
        _line(mute=True),
        seconds=6.5,
    ),
    Fault(
        "camera-frozen", "cameras", "one camera delivers the same picture over and over", _freeze
    ),
    Fault(
        "cameras-lost", "cameras", "neither camera delivers anything any more", _lose, seconds=5.5
    ),
    Fault("estimate-jumps", "estimate", "the cube is seen 30 cm away all at once", _move),
    Fault(
        "clock-forward",
        "clock",
        "the computer's clock jumps forward by 10 s",
        lambda site: site.seconds.jump(JUMP),
    ),
    Fault(
        "clock-back",
        "clock",
        "the computer's clock jumps back by 10 s",
        lambda site: site.seconds.jump(-JUMP),
    ),
    Fault(
        "pause",
        "pause",
        "the driver's program stands still for 0.5 s",
        _pause,
        seconds=2.5,
        arms=(LEFT, RIGHT),
    ),
    Fault(
        "planner-killed",
        "planner",
        "the process that plans is killed",
        _planner(signal.SIGKILL),
        again=True,
    ),
    Fault(
        "planner-hangs",
        "planner",
        "the process that plans hangs",
        _planner(signal.SIGSTOP),
        seconds=3.0,
        again=True,
    ),
    Fault(
        "disk-full",
        "disk",
        "the disk is full when the episode is written",
        _fill_disk,
        earlier=True,
    ),
]

FAULTS = {fault.name: fault for fault in _ALL}
"""By name."""

Names = tuple[str, ...]
"""Faults that happen at once."""


def singles(only: Sequence[str] = ()) -> list[Names]:
    """Each fault by itself, or only these.

    Raises:
        UsageError: there is no such fault.
    """
    for name in only:
        if name not in FAULTS:
            near = nearest_first(name, list(FAULTS))
            raise UsageError(f"there is no fault {name!r}; the nearest are {', '.join(near[:3])}")
    return [(name,) for name in FAULTS if not only or name in only]


def pairs(only: Sequence[str] = ()) -> list[Names]:
    """All pairs of faults of different kinds, or those among these: the widest spread first.

    Raises:
        UsageError: there is no such fault.
    """
    chosen = [FAULTS[name] for (name,) in singles(only) if name != "none"]
    found = [(a, b) for a, b in combinations(chosen, 2) if a.kind != b.kind]
    # Those with the first of each kind come first, so that a part of them says something of all.
    place = {name: rank for kind in _by_kind(chosen) for rank, name in enumerate(kind)}
    found.sort(key=lambda pair: place[pair[0].name] + place[pair[1].name])
    return [(a.name, b.name) for a, b in found]


def _by_kind(faults: Sequence[Fault]) -> list[list[str]]:
    """Names of each kind, the most telling one first."""
    kinds: dict[str, list[str]] = {}
    for fault in reversed(faults):
        kinds.setdefault(fault.kind, []).append(fault.name)
    return list(kinds.values())
