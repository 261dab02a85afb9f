"""A simulated cell that tells where its cube is, without any arms."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import numpy as np

from codi_franka.robot.controller import HOME

POSE = (0.1, 0.2, 0.025, 1.0, 0.0, 0.0, 0.0)
SPEED = 0.1
"""[m/s] At which the cube moves along x."""


class ToldCell:
    """Tells 200 times a second where a cube is that moves along x, until it is closed."""

    def __init__(self, speed=SPEED, pose=POSE):
        self.speed, self.pose, self.over = speed, np.array(pose), False
        self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.link.bind(("127.0.0.1", 0))
        self.link.settimeout(0.005)
        self.address = self.link.getsockname()
        self.telling, self.began = True, time.monotonic()
        self._listeners = set()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while self.telling:
            with contextlib.suppress(TimeoutError):
                self._listeners.add(self.link.recvfrom(100)[1])
            now = time.monotonic() - self.began
            pose = [self.pose[0] + self.speed * now, *self.pose[1:]]
            told = {
                "time": now,
                "pose": pose,
                "twist": [self.speed, 0, 0, 0, 0, 0],
                "joints": [list(HOME)] * 2,
                "widths": [0.08, 0.08],
                "over": self.over,
            }
            for listener in self._listeners:
                self.link.sendto(json.dumps(told).encode(), listener)

    def close(self):
        self.telling = False
