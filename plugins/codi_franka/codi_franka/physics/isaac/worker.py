"""Steps copies in another interpreter: a program, started by its client with a socket to talk on.

    python3.8 worker.py --socket PATH --backend isaacgym

It needs Python 3.6 or newer, NumPy, and what its backend needs. A backend is ``isaacgym``, or a
file with a function ``make(opening)`` that returns an object with three methods,
``set_state(arrays, rows, cubes)``, ``step(targets, count, rows)``, which returns named arrays, and
``close()``. The program ends when its client does.
"""

import argparse
import importlib.util
import os
import platform
import socket
import sys
import threading
import time
import traceback

import numpy as np

import wire


def main(argv=None):
    """Connect, open the backend, and answer calls until the client goes."""
    given = _given(argv)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(given.socket)
    channel = wire.Channel(connection)
    _keep_beating(channel)
    try:
        channel.send(
            protocol=wire.PROTOCOL,
            python=platform.python_version(),
            numpy=np.__version__,
            backend=given.backend,
        )
        opening = channel.receive()
        if opening.get("protocol") != wire.PROTOCOL:
            raise wire.WireError(
                "the client speaks protocol %s, this worker %s"
                % (opening.get("protocol"), wire.PROTOCOL)
            )
        _serve(channel, _backend(given.backend), opening)
    except wire.ClosedError:
        return 0  # the client is gone
    except Exception as error:
        _tell(channel, error)
        return 1
    return 0


def _serve(channel, make, opening):
    fields = wire.layout(opening["copies"], len(opening["arms"]))
    if fields != opening["fields"]:
        raise wire.WireError("the client shares other fields than this worker")
    shared = wire.Shared(opening["shared"], fields)
    backend = make(opening)
    try:
        channel.send(ready=True, measures=list(backend.measures), versions=backend.versions)
        while True:
            message = channel.receive()
            if message["call"] == "close":
                return
            _answer(backend, message, shared)
            channel.send(done=message["call"])
    finally:
        backend.close()


def _answer(backend, message, shared):
    rows = np.flatnonzero(shared["rows"])
    if message["call"] == "set_state":
        state = {name: shared["set." + name][rows] for name, _ in wire.STATE}
        cubes = None
        if message["cubes"]:
            cubes = {name: shared["set." + name][rows] for name in ("mass", "friction")}
        backend.set_state(state, rows, cubes)
    elif message["call"] == "step":
        seen = backend.step(shared["targets"][rows], message["count"], rows)
        for name, value in seen.items():
            shared["now." + name][rows] = value
    else:
        raise wire.WireError("unknown call %r" % (message["call"],))


def _tell(channel, error):
    traceback.print_exc()
    try:
        channel.send(error=type(error).__name__, message=str(error))
    except wire.ClosedError:
        pass


def _keep_beating(channel):
    """Say that this process lives, and end it when nobody listens any more."""
    parent = os.getppid()

    def beat():
        while True:
            time.sleep(wire.BEAT_SECONDS)
            try:
                channel.send(beat=True)
            except wire.ClosedError:
                os._exit(1)
            if os.getppid() != parent:
                os._exit(1)

    threading.Thread(target=beat, daemon=True).start()


def _backend(name):
    if name == "isaacgym":
        import isaac_backend

        return isaac_backend.make
    spec = importlib.util.spec_from_file_location("codi_backend", name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make


def _given(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True, help="where the client listens")
    parser.add_argument("--backend", default="isaacgym", help="isaacgym, or a file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
