"""Two simulated FR3 arms with hands, a table and a cube, behind the robots' real network protocol.

It runs in an environment of its own, with ``franky-sim``, and knows nothing of the project: what it
needs comes as one JSON object on the command line, see :class:`Setup`. It answers on 127.0.0.1
(left) and 127.0.0.2 (right), tells the truth about the cube over UDP, and keeps what it received.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import time
import xml.etree.ElementTree as ET
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mujoco
import numpy as np
from contacts import Contacts
from franky_sim import SimulationServer
from franky_sim.franka_robot_protocol import UDPCommand
from franky_sim.mujoco_simulator import MujocoSimulator
from person import Person
from telling import SLOW_TICKS, Message, simplify

HOSTS = ("127.0.0.1", "127.0.0.2")
BASES = (((-0.65, 0.0, 0.0), "1 0 0 0"), ((0.65, 0.0, 0.0), "0 0 0 1"))
TABLE = (1.8, 1.2, 0.1)
FLOOR = -0.7
TRUTH_TICKS = 10
"""The truth is told once in so many milliseconds of the peer."""


@dataclass
class Setup:
    """What the peer is told.

    ``slowdown``: real seconds a second of the peer; 0 goes as fast as it can.
    ``home``: the joints' start [rad]. ``cube``: its start, x, y [m] and yaw [rad].
    ``size``: half sizes [m]. ``places``: where the person puts the cube back; none for no person.
    ``goal``: x, y [m]. ``record``: a folder for what was received, or "". ``port``: of the truth.
    ``attempts``: after so many the truth says that the run is over; 0 for never.
    """

    home: list
    cube: list
    goal: list
    port: int
    places: list
    record: str = ""
    slowdown: float = 1.0
    size: tuple = (0.025, 0.025, 0.025)
    mass: float = 0.1
    attempts: int = 0


def scene(setup: Setup) -> MujocoSimulator:
    """Two robots that face each other across a table, and a cube on it."""
    sim = MujocoSimulator()
    for position, quaternion in BASES:
        sim.add_robot(initial_q=setup.home, initial_hand_width=0.08, position=position)
        sim.worldbody.findall("body")[-1].set("quat", quaternion)
    ground = next(geom for geom in sim.worldbody if geom.get("name") == "ground")
    ground.set("pos", f"0 0 {FLOOR}")
    friction = "1 0.02 0.0001"
    half = " ".join(str(length / 2) for length in TABLE)
    ET.SubElement(
        sim.worldbody, "geom", name="table", type="box", size=half, friction=friction,
        pos=f"0 0 {-TABLE[2] / 2}", rgba="0.8 0.75 0.65 1",
    )  # fmt: skip
    cube = ET.SubElement(sim.worldbody, "body", name="cube", pos="0 0 0.025")
    ET.SubElement(cube, "freejoint", name="cube")
    ET.SubElement(
        cube, "geom", name="cube", type="box", size=" ".join(map(str, setup.size)),
        mass=str(setup.mass), condim="4", friction=friction, rgba="0.2 0.6 0.3 1",
    )  # fmt: skip
    option = sim.scene.find("option")
    option.set("cone", "elliptic")
    option.set("impratio", "10")
    return sim


class Cube:
    """The cube, as the person and the truth see it."""

    def __init__(self, sim: MujocoSimulator, setup: Setup) -> None:
        self.sim, self.height = sim, setup.size[2]
        joint = sim.model.joint("cube")
        self.position, self.velocity = int(joint.qposadr[0]), int(joint.dofadr[0])
        self.geom = sim.model.geom("cube").id
        names = [
            sim.model.body(geom.bodyid[0]).name
            for geom in map(sim.model.geom, range(sim.model.ngeom))
        ]
        self.robot = np.array([name.startswith("robot") for name in names])
        self.place(*setup.cube)

    def place(self, x: float, y: float, yaw: float) -> None:
        """Put it down, at rest."""
        pose = (x, y, self.height, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        self.sim.data.qpos[self.position : self.position + 7] = pose
        self.sim.data.qvel[self.velocity : self.velocity + 6] = 0.0

    @property
    def pose(self) -> np.ndarray:
        """(7,), position and quaternion wxyz, world frame."""
        return self.sim.data.qpos[self.position : self.position + 7].copy()

    @property
    def twist(self) -> np.ndarray:
        """(6,), linear and angular, world frame (a free joint's angular one is in the body's)."""
        twist = self.sim.data.qvel[self.velocity : self.velocity + 6].copy()
        turned = np.zeros(3)
        mujoco.mju_rotVecQuat(turned, twist[3:], self.pose[3:])
        return np.concatenate((twist[:3], turned))

    @property
    def touched(self) -> bool:
        """Whether a robot touches it."""
        data = self.sim.data
        pairs = data.contact.geom[: data.ncon]
        mine = (pairs == self.geom).any(1)
        return bool(self.robot[pairs[mine]].any())

    def hands(self) -> np.ndarray:
        """(2, 3), where the hands are, world frame."""
        return np.array([self.sim.data.body(f"robot{k}_hand").xpos for k in range(2)])


class Record:
    """What arrived at the wire: one row of 17 float64 a command.

    They are the peer's tick, the message it answers, whether it ends the motion, the joint
    velocities and the joint positions then.
    """

    def __init__(self, folder: str, arm: int) -> None:
        self.file = (Path(folder) / f"commands-{arm}.f64").open("wb") if folder else None

    def note(self, tick: int, command, q) -> None:
        if self.file is not None:
            finished = float(command.motion_generation_finished)
            row = (tick, command.message_id, finished, *command.dq_c, *q)
            self.file.write(struct.pack("<17d", *row))

    def flush(self) -> None:
        if self.file is not None:
            self.file.flush()


class Wanted:
    """Tells the client the acceleration that it wants, as a robot does.

    ``franky-sim`` tells a mean of the last 20 ms, with which a client that begins anew from it
    jerks.
    """

    def __init__(self, robot) -> None:
        self.robot, self.latest, self.acceleration = robot, None, np.zeros(7)

    def note(self, command) -> None:
        latest, self.latest = self.latest, command
        if latest is not None and 0 < command.message_id - latest.message_id < 20:
            seconds = 0.001 * (command.message_id - latest.message_id)
            self.acceleration = np.subtract(command.dq_c, latest.dq_c) / seconds
        else:
            self.acceleration = np.zeros(7)
        if command.motion_generation_finished:
            self.latest, self.acceleration = None, np.zeros(7)

    def tell(self) -> None:
        """Before each step."""
        now = self.robot._BaseRobot__t
        self.robot._tracked_state_components["ddq_d"].set(now, self.acceleration.copy())


class Peer:
    """The simulation, its two servers, the truth's socket and the person."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.tick = setup, 0
        self.slowdown = setup.slowdown
        self.sim = scene(setup)
        self.sim.init()
        self.server = SimulationServer(self.sim, hostname_candidates=list(HOSTS))
        self.server.init()
        self.cube = Cube(self.sim, setup)
        self.joints, self.fingers = (
            np.array([[self._address(f"robot{k}_{name}{j}") for j in numbers] for k in range(2)])
            for name, numbers in (("fr3_joint", range(1, 8)), ("finger_joint", (1, 2)))
        )
        self.person = Person(setup, self.cube, self.log) if setup.places else None
        self.events = (Path(setup.record) / "events.jsonl").open("w") if setup.record else None
        self.truth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.truth.bind(("127.0.0.1", setup.port))
        self.truth.setblocking(False)
        self.listeners: set = set()
        self.wanted: list[Wanted] = []
        self.records: list[Record] = []
        self.deaf = [0, 0]  # until which tick an arm hears and says nothing
        self._listen()

    def _address(self, joint: str) -> int:
        """Where a joint's position is in the state."""
        return int(self.sim.model.joint(joint).qposadr[0])

    def _listen(self) -> None:
        for arm, server in enumerate(self.server.robot_servers):
            record, handle = Record(self.setup.record, arm), server._handle_udp_command
            wanted = Wanted(server.robot)
            self.wanted.append(wanted)
            self.records.append(record)

            def heard(data, server=server, record=record, handle=handle, wanted=wanted) -> None:
                handle(data)
                command = UDPCommand.from_bytes(data)
                wanted.note(command)
                record.note(self.tick, command, server.robot.inner_state.q)

            server._handle_udp_command = heard
            turned = np.diag((1.0, 1.0, 1.0) if arm == 0 else (-1.0, -1.0, 1.0))
            contacts = Contacts(self.sim, arm, turned)
            simplify(server)
            message = Message(server, partial(contacts.loads, 0.001 * SLOW_TICKS))
            server._get_state_bytes = lambda message=message: message.pack(self.tick)

    def log(self, kind: str, **more) -> None:
        """Note an event, with the peer's time."""
        line = json.dumps({"time": self.tick / 1000, "event": kind, **more})
        print(line, flush=True)
        if self.events is not None:
            self.events.write(line + "\n")
            self.events.flush()

    def step(self) -> None:
        """One millisecond."""
        both = list(zip(self.server.robot_servers, self.deaf, strict=True))
        servers = [server for server, deaf in both if deaf <= self.tick]
        for server, deaf in both:
            if deaf <= self.tick:
                server.process_commands()
            else:
                server._post_process_commands()  # what was commanded last goes on
        for wanted in self.wanted:
            wanted.tell()
        self.sim.step()
        for server in servers:
            server.send_state()
        self.tick += 1
        if self.tick % TRUTH_TICKS == 0:
            if self.person is not None:
                self.person.look(self.tick / 1000)
            self._talk()
            for record in self.records:
                record.flush()

    def _talk(self) -> None:
        with suppress(BlockingIOError):
            while True:
                data, sender = self.truth.recvfrom(4096)
                self.listeners.add(sender)
                self._obey(json.loads(data))
        if not self.listeners:
            return
        pose, twist = self.cube.pose.tolist(), self.cube.twist.tolist()
        truth = {
            "time": self.tick / 1000,
            "pose": pose,
            "twist": twist,
            "joints": self.sim.data.qpos[self.joints].tolist(),
            "widths": self.sim.data.qpos[self.fingers].sum(-1).tolist(),
            "over": self.person is not None and self.person.done,
        }
        for listener in self.listeners:
            self.truth.sendto(json.dumps(truth).encode(), listener)

    def _obey(self, order: dict) -> None:
        if "cube" in order:
            self.cube.place(*order["cube"])
        if "deaf" in order:
            self.deaf[order["deaf"]] = self.tick + int(order["ticks"])
        if "slowdown" in order:
            self.slowdown = float(order["slowdown"])

    def run(self) -> None:
        """Until somebody ends the process."""
        print("ready", flush=True)
        due = began = time.monotonic()
        while True:
            self.step()
            due += 0.001 * self.slowdown
            remaining = due - time.monotonic()
            if remaining > 0:
                time.sleep(remaining)
            elif remaining < -0.02:  # it can't keep up: don't run after lost time
                due = time.monotonic()
            if self.tick % 5000 == 0:
                rate = 5000 / (time.monotonic() - began)
                began = time.monotonic()
                self.log("rate", hz=round(rate, 1))


if __name__ == "__main__":
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -5)  # arms don't wait for who plans
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Peer(Setup(**json.loads(sys.argv[1]))).run()
