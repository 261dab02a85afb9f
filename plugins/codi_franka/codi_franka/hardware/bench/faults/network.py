"""A network between the driver and two arms that can be made bad; a program of its own.

It stands between the driver and the arms' servers, and passes on what both say: TCP for commands,
UDP for states and joint velocities. It delays, drops and cuts, and keeps what passed.

It is told what it needs as one JSON object on the command line: ``hosts``, the addresses where it
listens, in the order of the arms, ``peers``, those of the arms, ``record``, a folder, ``slowdown``,
how many real seconds one of the arms' takes, and ``seed``, of what is random. Afterwards it takes
orders on standard input, JSON objects, one a line: ``arm``, and what changes of a :class:`Line`. It
ends when that is closed.

Only the standard library is used: it must start soon, and disturb no interpreter but its own.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import random
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROBOT, HAND = 1337, 1338
"""Ports of the arms' protocol, and of the hands'."""

_STATE, _Q, _Q_D, _MODE = 1377, 8 + 4 * 147, 8 + 4 * 154, 1372
"""Of a state's message: its size, and where its joint positions, the desired ones, and the robot's
mode are."""
_COMMAND, _DQ, _FINISHED = 371, 64, 313
"""Likewise of a command."""
STATE_ROW = 17
"""Numbers in a row of states: real time [s], message, robot mode, q (7), desired q (7)."""


@dataclass
class Line:
    """What the network does to one arm. Seconds are the arms'.

    Attributes:
        delay: how much later each message arrives, each way [s].
        jitter: by how much more at most, drawn anew for each [s].
        loss: the share of the datagrams that are lost, each way.
        dead: whether nothing passes, as if the cable was pulled.
        closed: whether connections are closed, and refused.
        mute: whether the hand's answers don't pass.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    dead: bool = False
    closed: bool = False
    mute: bool = False


class Network:
    """Passes everything on, late if it must be.

    Args:
        pace: real seconds for one of the arms'.
        seed: of what is random.
    """

    def __init__(self, pace: float, seed: int) -> None:
        self.pace, self.random = pace, random.Random(seed)
        self.selector = selectors.DefaultSelector()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def on_read(self, link: Any, call: Callable[[], None]) -> None:
        """Call whenever something can be read."""
        self.selector.register(link, selectors.EVENT_READ, call)

    def forget(self, link: socket.socket) -> None:
        """Close a socket."""
        with suppress(KeyError, ValueError):
            self.selector.unregister(link)
        link.close()

    def after(self, line: Line, call: Callable[[], None], since: float = 0.0) -> float:
        """Call when a message has passed the line; when that is [s].

        Args:
            line: of the arm.
            call: passes it on.
            since: not earlier than then [s].
        """
        late = line.delay + line.jitter * self.random.random()
        due = max(since, time.monotonic() + self.pace * late)
        if due <= time.monotonic() and not self._later:
            call()
        else:
            heapq.heappush(self._later, (due, next(self._count), call))
        return due

    def run(self) -> None:
        """Until standard input is closed."""
        while True:
            wait = None if not self._later else max(0.0, self._later[0][0] - time.monotonic())
            for key, _ in self.selector.select(wait):
                key.data()
            while self._later and self._later[0][0] <= time.monotonic():
                with suppress(OSError):  # its connection has been closed meanwhile
                    heapq.heappop(self._later)[2]()


class Record:
    """What passed between the driver and one arm, whether it arrived or not.

    Args:
        folder: gets ``commands-ARM.f64``, rows as in :mod:`codi_franka.hardware.bench.wire`, and
            ``states-ARM.f64``, see :data:`STATE_ROW`.
        arm: its number.
    """

    def __init__(self, folder: Path, arm: int) -> None:
        self.commands = (folder / f"commands-{arm}.f64").open("wb")
        self.states = (folder / f"states-{arm}.f64").open("wb")
        self.message, self.q = 0, (0.0,) * 7

    def state(self, data: bytes) -> None:
        """Keep a state that an arm has told."""
        if len(data) != _STATE:
            return
        self.message = struct.unpack_from("<Q", data)[0]
        self.q = struct.unpack_from("<7f", data, _Q)
        row = (time.monotonic(), self.message, data[_MODE], *self.q)
        self.states.write(struct.pack("<17d", *row, *struct.unpack_from("<7f", data, _Q_D)))

    def command(self, data: bytes) -> None:
        """Keep a command that the driver has sent."""
        if len(data) != _COMMAND:
            return
        answered = struct.unpack_from("<Q", data)[0]
        dq = struct.unpack_from("<7d", data, _DQ)
        row = (self.message, answered, float(data[_FINISHED]), *dq, *self.q)
        self.commands.write(struct.pack("<17d", *row))

    def flush(self) -> None:
        """Have it in the files."""
        self.commands.flush()
        self.states.flush()


class Door:
    """One port of one arm: accepts the driver, and connects on to the arm's server.

    Args:
        network: what passes things on.
        line: of the arm.
        where: the address where the driver connects.
        peer: the arm's.
        port: of both.
        record: of the arm; None for a hand.
    """

    def __init__(
        self, network: Network, line: Line, where: str, peer: str, port: int, record: Record | None
    ) -> None:
        self.network, self.line, self.record = network, line, record
        self.where, self.peer, self.port = where, peer, port
        self.links: list[socket.socket] = []
        self._held: list[Callable[[], None]] = []
        self.front = socket.socket()
        self.front.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.front.bind((where, port))
        self.front.listen(4)
        network.on_read(self.front, self._accept)

    def heed(self) -> None:
        """The line has changed: close all connections, or pass on what was held back."""
        if self.line.closed:
            for link in self.links:
                self.network.forget(link)
            self.links.clear()
        if not self.line.dead:
            for send in self._held:
                _ignore(send)
            self._held.clear()

    def _accept(self) -> None:
        client, address = self.front.accept()
        if self.line.closed:
            client.close()
            return
        try:
            server = socket.create_connection((self.peer, self.port), 5.0)
        except OSError:
            client.close()
            return
        for link in (client, server):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.links += [client, server]
        self._pass_stream(client, server, rewrite=address[0])
        self._pass_stream(server, client, rewrite=None)

    def _pass_stream(
        self, source: socket.socket, target: socket.socket, rewrite: str | None
    ) -> None:
        """Pass a stream on in order; a driver's first message names a port, which is replaced."""
        first, due = rewrite is not None, 0.0

        def read() -> None:
            nonlocal first, due
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            if not data:
                for link in (source, target):
                    self.network.forget(link)
                return
            if first and rewrite is not None:
                first = False
                (port,) = struct.unpack_from("<H", data, len(data) - 2)
                here = target.getsockname()[0]
                data = data[:-2] + struct.pack("<H", self._open_datagrams(rewrite, port, here))
            if rewrite is None and self._muted:
                return
            if self.line.dead:  # TCP sends again until it arrives
                self._held.append(lambda: target.sendall(data))
                return
            due = self.network.after(self.line, lambda: target.sendall(data), due)

        self.network.on_read(source, read)

    @property
    def _muted(self) -> bool:
        return self.line.mute and self.port == HAND

    def _open_datagrams(self, client: str, port: int, here: str) -> int:
        """Pass on datagrams between the driver at a port and an arm, which sends to ``here``.

        Returns:
            The port that the arm is to use.
        """
        up, down = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        up.bind((here, 0))
        down.bind((self.where, 0))
        self.links += [up, down]
        arm: list[Any] = []

        def from_arm() -> None:
            data, sender = up.recvfrom(65536)
            arm[:] = [sender]
            if self.record is not None:
                self.record.state(data)
            if not self._muted:
                self._pass_datagram(lambda: down.sendto(data, (client, port)))

        def from_driver() -> None:
            data = down.recv(65536)
            if self.record is not None:
                self.record.command(data)
            if arm:
                self._pass_datagram(lambda: up.sendto(data, arm[0]))

        self.network.on_read(up, from_arm)
        self.network.on_read(down, from_driver)
        return int(up.getsockname()[1])

    def _pass_datagram(self, send: Callable[[], object]) -> None:
        line = self.line
        if not line.dead and self.network.random.random() >= line.loss:
            self.network.after(line, lambda: _ignore(send))


def _ignore(send: Callable[[], object]) -> None:
    with suppress(OSError):
        send()


def main(setup: dict[str, Any]) -> None:
    """Run."""
    network = Network(float(setup["slowdown"]), int(setup["seed"]))
    lines, doors, records = [], [], []
    for arm, (where, peer) in enumerate(zip(setup["hosts"], setup["peers"], strict=True)):
        line, record = Line(), Record(Path(setup["record"]), arm)
        lines.append(line)
        records.append(record)
        for port in (ROBOT, HAND):
            robot = record if port == ROBOT else None
            doors.append(Door(network, line, where, peer, port, robot))

    def obey() -> None:
        text = os.read(0, 65536).decode()
        if not text:
            for record in records:
                record.flush()
            os._exit(0)
        for order in filter(None, text.splitlines()):
            change = json.loads(order)
            line = lines[change.pop("arm")]
            for name, value in change.items():
                setattr(line, name, value)
            for door in doors:
                if door.line is line:
                    door.heed()

    network.on_read(sys.stdin, obey)
    print("ready", flush=True)
    network.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
