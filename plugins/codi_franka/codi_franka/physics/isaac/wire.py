"""What goes between a simulator's client and its worker: lines of JSON, and shared memory.

Both sides use this file. The worker's interpreter may be as old as Python 3.6, and has NumPy and
the standard library only: no newer syntax belongs here.
"""

import json
import mmap
import os
import socket
import threading

import numpy as np

PROTOCOL = 1
"""Changes with whatever is said or shared."""

BEAT_SECONDS = 1.0
"""How often a worker says that it lives."""

STATE = (
    ("joint_position", ("arms", 7)),
    ("joint_velocity", ("arms", 7)),
    ("gripper_width", ("arms",)),
    ("cube_position", (3,)),
    ("cube_quaternion", (4,)),
    ("cube_velocity", (6,)),
)
"""A state's fields, SI units, world frame, quaternions wxyz; shapes without the copies."""

MEASURED = (
    ("arm_contact", ()),
    ("cube_contact", ()),
    ("cube_force", ("arms", 3)),
    ("hand_distance", ()),
)
"""What a worker may measure besides; it says which of them it does."""


class WireError(Exception):
    """The other side says or shares what nobody expects."""


class ClosedError(WireError):
    """The other side is gone."""


class Channel:
    """Messages over a connected local socket, one line of JSON each; several threads may send."""

    def __init__(self, connection):
        self._socket = connection
        self._lock = threading.Lock()
        self._rest = b""

    def send(self, **message):
        """Send a message; a ClosedError says that the other side is gone."""
        line = json.dumps(message).encode("utf-8") + b"\n"
        try:
            with self._lock:
                self._socket.sendall(line)
        except OSError as error:
            raise ClosedError(str(error))

    def receive(self, seconds=None):
        """The next message; a ClosedError at the other side's end, socket.timeout after so long."""
        self._socket.settimeout(seconds)
        while b"\n" not in self._rest:
            try:
                part = self._socket.recv(65536)
            except ConnectionError as error:
                raise ClosedError(str(error))
            if not part:
                raise ClosedError("the connection has ended")
            self._rest += part
        line, self._rest = self._rest.split(b"\n", 1)
        return json.loads(line.decode("utf-8"))

    def close(self):
        """End the connection; the other side notices."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def layout(copies, arms):
    """Names, types and shapes of all that is shared, in their order in memory.

    ``set.*`` is what copies are set to, ``now.*`` what they look like; ``rows`` says which copies
    a call is about.
    """
    fields = [("rows", "uint8", [copies]), ("now.valid", "uint8", [copies])]
    fields += [("set.mass", "float64", [copies]), ("set.friction", "float64", [copies])]
    fields += [("targets", "float32", [copies, arms * 8])]
    for prefix, group in (("set.", STATE), ("now.", STATE + MEASURED)):
        for name, shape in group:
            sizes = [arms if size == "arms" else size for size in shape]
            fields.append((prefix + name, "float32", [copies] + sizes))
    return [list(field) for field in fields]


class Shared:
    """Arrays in a file that both sides map into their memory."""

    def __init__(self, path, fields, create=False):
        sizes = [int(np.prod(shape)) * np.dtype(kind).itemsize for _, kind, shape in fields]
        starts, total = [], 0
        for size in sizes:
            starts.append(total)
            total += (size + 63) // 64 * 64  # aligned
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
        handle = os.open(path, flags, 0o600)
        try:
            if create:
                os.ftruncate(handle, total)
            elif os.fstat(handle).st_size != total:
                raise WireError("the shared memory has another size")
            self._memory = mmap.mmap(handle, total)
        finally:
            os.close(handle)
        self.arrays = {}
        for (name, kind, shape), start in zip(fields, starts):
            count = int(np.prod(shape))
            flat = np.frombuffer(self._memory, kind, count, start)
            self.arrays[name] = flat.reshape(shape)

    def __getitem__(self, name):
        return self.arrays[name]
