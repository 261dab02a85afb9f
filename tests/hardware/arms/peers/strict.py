"""Two strict FR3 arms, which stop at commands beyond the limits, behind the real protocol.

It runs in an environment of its own, with ``franka-sim``. What it needs comes as one JSON object on
the command line: ``home``, the joints' start [rad], ``model``, an FR3 model in MuJoCo's format,
``meshes``, the folder of its meshes, whether late commands are punished, ``communication``,
``slowdown``, how many real seconds a second of the arms takes, and ``port``. There it takes orders,
JSON objects in datagrams: ``{"reflex": ARM}`` makes an arm stop as at a contact.
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
    """Have this process's clocks show a second where so many have passed.

    Physics and network keep to real time in threads of their own, and lag behind one another where
    there are too few processors for it.
    """
    sleep = time.sleep
    for name in ("time", "monotonic", "perf_counter"):
        real = getattr(time, name)
        began = real()
        shown = lambda real=real, began=began: began + (real() - began) / factor  # noqa: E731
        setattr(time, name, shown)
    time.sleep = lambda seconds: sleep(seconds * factor)


def obey(port: int, servers: list) -> None:
    """Take orders, for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("127.0.0.1", port))
        while True:
            order = json.loads(link.recv(4096))
            server = servers[int(order["reflex"])]
            server._abort_with_error(CARTESIAN_REFLEX, "a contact that was ordered")


def _wait_for_all() -> None:
    """Until all robots and hands listen."""
    for host in HOSTS:
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

    mujoco_franka_sim.ARM_INITIAL_Q = np.array(setup["home"])

    servers = [
        FrankaSimServer(
            host=host,
            enable_gripper=True,
            enforce_motion_limits=True,
            enforce_comm_constraints=bool(setup.get("communication", False)),
        )
        for host in HOSTS
    ]
    for server in servers:
        threading.Thread(target=server.start, daemon=True).start()
    _wait_for_all()
    threading.Thread(target=obey, args=(int(setup["port"]), servers), daemon=True).start()
    print("ready", flush=True)
    while True:
        time.sleep(1.0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    main(json.loads(sys.argv[1]))
