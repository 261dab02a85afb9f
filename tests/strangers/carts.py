"""A driver: two carts on a rail, as the points of ``example-points``."""

import threading
import time

import torch
from codi_example import observe

import codi_core as codi


@codi.hookimpl
def codi_drivers():
    yield codi.DriverRecord("carts", "two carts on a rail", Carts, tasks=("example-points",))


class Carts(codi.Plant):
    """Follows velocities [m/s], 100 times a second, and changes them by at most 10 m/s²."""

    def __init__(self, parts, resources, left=-0.6, right=0.6):
        super().__init__()  # on the wall clock
        self.rate = parts.rate_hz
        self.positions, self.velocities = torch.tensor([left, right]), torch.zeros(2)
        self.commanded, self.stopping = [], False
        self.motors = threading.Thread(target=self._drive, daemon=True)
        self.motors.start()

    def _observe(self, until):
        positions = self.positions[None]  # one world
        events = {"positions": positions.numpy()}
        return codi.Step(self.clock.now(), positions, observe(positions), events)

    def _follow(self, chunks, start):
        if chunks is None:
            self.stopping = True
            self.motors.join()  # at rest
        else:
            self.commanded.append((start, torch.cat(chunks, -1)[0]))

    def _drive(self):
        while not self.stopping or bool(self.velocities.any()):
            step = (self._wanted() - self.velocities).clamp(-0.1, 0.1)
            self.velocities = self.velocities + step
            self.positions = self.positions + 0.01 * self.velocities
            time.sleep(0.01)

    def _wanted(self):
        now, still = self.clock.now(), torch.zeros(2)
        begun = [command for command in list(self.commanded) if command[0] <= now]
        if self.stopping or not begun:
            return still
        start, velocities = begun[-1]
        index = int((now - start) * self.rate)
        return velocities[index] if index < len(velocities) else still
