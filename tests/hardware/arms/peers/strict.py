"""Two strict FR3 arms, which stop at commands beyond the limits, behind the real protocol.

It runs in an environment of its own, with ``franka-sim``. What it needs comes as one JSON object on
the command line: ``home``, the joints' start [rad], ``model``, an FR3 model in MuJoCo's format,
``meshes``, the folder of its meshes, whether late commands are punished, ``communication``,
``slowdown``, how many real seconds a second of the arms takes, and ``hosts``, their addresses. On
standard input it takes orders, JSON objects, one a line: ``{"reflex": ARM}`` makes an arm stop as
at a contact. It ends when that is closed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path

HOSTS = ("127.0.0.1", "127.0.0.2")
CARTESIAN_REFLEX = 7
"""The place of ``cartesian_reflex`` among a robot's errors."""


def model_with_meshes(model: str, meshes: str) -> str:
    """A copy of the model that knows where its meshes are."""
    root = ET.parse(model).getroot()
    compiler = root.find("compiler")
    compiler = ET.SubElement(root, "compiler") if compiler is None else compiler
    compiler.set("meshdir", meshes)
    compiler.set("angle", "radian")
    path = Path(tempfile.mkdtemp()) / "fr3.xml"
    ET.ElementTree(root).write(path)
    return str(path)


def slow_down(factor: float) -> None:
    """Have this process's clocks show a second where so many have passed."""
    sleep = time.sleep
    for name in ("time", "monotonic", "perf_counter"):
        real = getattr(time, name)
        began = real()
        shown = lambda real=real, began=began: began + (real() - began) / factor  # noqa: E731
        setattr(time, name, shown)
    time.sleep = lambda seconds: sleep(seconds * factor)


def keep_in_step(server) -> None:
    """Have the physics go a millisecond on with each state that is sent, and never otherwise.

    ``franka-sim`` gives them a thread of their own, which lags behind on a busy machine: then the
    arm is not where it was sent. Without a client that thread goes on.
    """
    sim, state = server.physics_sim, server.physics_sim.get_robot_state

    def stepped():
        sim.step()
        return state()

    def alone() -> None:
        while sim.running:
            if not server.transmitting_state:
                sim.step()
            time.sleep(sim.dt)

    sim.get_robot_state, sim.run_simulation = stepped, alone


def obey(servers: list) -> None:
    """Take orders until nobody can give any more."""
    for line in sys.stdin:
        server = servers[json.loads(line)["reflex"]]
        server._abort_with_error(CARTESIAN_REFLEX, "a contact that was ordered")
    os._exit(0)


def _wait_for_all(hosts: list) -> None:
    """Until all robots and hands listen."""
    for host in hosts:
        for port in (1337, 1338):
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex((host, port)) == 0:
                        break
                time.sleep(0.1)


def main(setup: dict) -> None:
    slow_down(float(setup.get("slowdown", 1.0)))
    os.environ["FR3_MJCF"] = model_with_meshes(setup["model"], setup["meshes"])
    import numpy as np
    from franka_sim import mujoco_franka_sim
    from franka_sim.franka_sim_server import FrankaSimServer

    hosts = setup.get("hosts", HOSTS)
    mujoco_franka_sim.ARM_INITIAL_Q = np.array(setup["home"])

    servers = [
        FrankaSimServer(
            host=host,
            enable_gripper=True,
            enforce_motion_limits=True,
            enforce_comm_constraints=bool(setup.get("communication", False)),
        )
        for host in hosts
    ]
    for server in servers:
        keep_in_step(server)
        threading.Thread(target=server.start, daemon=True).start()
    _wait_for_all(hosts)
    print("ready", flush=True)
    obey(servers)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    main(json.loads(sys.argv[1]))
