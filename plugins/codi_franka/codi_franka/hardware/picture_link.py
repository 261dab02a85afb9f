"""Pictures of simulated cameras from the program that draws them to the driver, over TCP.

Whoever wants a camera's pictures sends its name and a line's end. Then it hears a byte
:data:`EXPOSED` when a picture is taken; :data:`DRAWN`, height, width and the grey pixels when it
has been drawn; and :data:`READY` when all cameras' pictures of that moment have been sent. So it
can stamp the picture with its own clock at the moment of exposure, however long drawing takes, and
pictures of one moment arrive together, however long sending takes.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.cameras import CameraError, Frame

Address = tuple[str, int]
Picture = NDArray[np.uint8]

EXPOSED, DRAWN, READY = b"E", b"D", b"R"
_SIZE = struct.Struct("<II")
_PATIENCE = 20.0
"""[s] Within which something must come; drawing takes a second on a busy machine."""
_LONGEST_NAME = 100
"""[bytes]"""


class RenderedCamera:
    """A camera whose pictures another program draws.

    Args:
        name: of the camera.
        address: of that program.
        size: width and height that its pictures must have [pixels].
        clock: seconds that they are stamped with.

    Raises:
        CameraError: nobody answers there.
    """

    def __init__(
        self, name: str, address: Address, size: tuple[int, int], clock: Callable[[], float]
    ) -> None:
        self.name, self._size, self._clock = name, size, clock
        try:
            self._link = socket.create_connection(address, _PATIENCE)
            self._link.sendall(name.encode() + b"\n")
        except OSError as error:
            raise CameraError(
                f"camera '{name}': nobody draws pictures at {address[0]}:{address[1]} ({error})"
            ) from error

    def read(self) -> Frame:
        """The next picture, grey; waits for it.

        Raises:
            CameraError: none comes any more, or one of another size.
        """
        exposed: float | None = None
        image: Picture | None = None
        while True:
            what = self._receive(1)
            if what == EXPOSED:
                exposed = self._clock()
            elif what == DRAWN:
                image = self._picture()
            # Else it was taken before anybody listened.
            elif exposed is not None and image is not None:
                return Frame(exposed, image, self.name)

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads
        self._link.close()

    def _picture(self) -> Picture:
        """The grey pixels, (height, width)."""
        height, width = _SIZE.unpack(self._receive(_SIZE.size))
        if (width, height) != tuple(self._size):
            raise CameraError(
                f"camera '{self.name}' delivers {width} x {height} pixels, not "
                f"{self._size[0]} x {self._size[1]}"
            )
        return np.frombuffer(self._receive(height * width), np.uint8).reshape(height, width)

    def _receive(self, count: int) -> bytearray:
        """So many bytes."""
        data = bytearray(count)
        view, there = memoryview(data), 0
        while there < count:
            try:
                more = self._link.recv_into(view[there:])
            except OSError as error:
                raise CameraError(f"camera '{self.name}' is silent: {error}") from error
            if not more:
                raise CameraError(f"camera '{self.name}' delivers nothing more")
            there += more
        return data


class PictureServer:
    """Delivers pictures to whoever asks for them.

    Args:
        port: where, on this machine; 0 for a free one.
        names: of the cameras.

    Attributes:
        address: where it listens.
    """

    def __init__(self, port: int, names: tuple[str, ...]) -> None:
        self._names = names
        self._door = socket.create_server(("127.0.0.1", port))
        self.address: Address = self._door.getsockname()
        self._guests: list[tuple[str, socket.socket]] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._welcome, name="picture server", daemon=True).start()

    def exposed(self) -> None:
        """Tell that all cameras take a picture now."""
        self._send(dict.fromkeys(self._names, EXPOSED))

    def deliver(self, pictures: Mapping[str, NDArray[Any]]) -> None:
        """Deliver a grey picture (height, width) of each camera."""
        self._send(
            {
                name: DRAWN + _SIZE.pack(*picture.shape) + np.ascontiguousarray(picture).tobytes()
                for name, picture in pictures.items()
            }
        )
        self._send(dict.fromkeys(self._names, READY))

    def close(self) -> None:
        """Deliver nothing any more."""
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # wakes the thread that lets guests in
        self._door.close()
        with self._lock:
            for _, guest in self._guests:
                guest.close()
            self._guests.clear()

    def _welcome(self) -> None:
        while True:
            try:
                guest, _ = self._door.accept()
            except OSError:
                return  # closed
            guest.settimeout(_PATIENCE)
            name = self._asked(guest)
            if name not in self._names:
                guest.close()
                continue
            with self._lock:
                self._guests.append((name, guest))

    @staticmethod
    def _asked(guest: socket.socket) -> str:
        """The camera that somebody asks for; empty if it isn't said."""
        line = b""
        with suppress(OSError):
            while not line.endswith(b"\n") and len(line) < _LONGEST_NAME:
                if not (more := guest.recv(1)):
                    return ""
                line += more
        return line.decode(errors="replace").strip()

    def _send(self, data: Mapping[str, bytes]) -> None:
        """Send each guest what is for it; who has gone is forgotten."""
        with self._lock:
            guests = list(self._guests)
        for entry in guests:
            try:
                entry[1].sendall(data[entry[0]])
            except OSError:
                entry[1].close()
                with self._lock, suppress(ValueError):
                    self._guests.remove(entry)
