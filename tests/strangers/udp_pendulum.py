"""The pendulum of ``tandem`` as a robot behind UDP, which tells where it is 100 times a second."""

import json
import math
import socket
import threading
import time
from contextlib import suppress

from codi_core import DriverRecord, Plant, Step, hookimpl
from tests.strangers import tandem


@hookimpl
def codi_drivers():
    yield DriverRecord("udp-pendulum", "a pendulum behind UDP", UdpPendulum, tasks=("tandem",))


def received(link):
    with suppress(BlockingIOError):
        while True:
            yield json.loads(link.recv(4096, socket.MSG_DONTWAIT))


def robot(link, angle=math.pi, speed=0.0, plan=((0, None),)):
    """The robot's own program: it hangs there, follows torques from their times on, or brakes."""
    with link, suppress(ConnectionRefusedError):  # nobody listens any more
        while True:
            link.send(json.dumps([math.cos(angle), math.sin(angle), speed]).encode())
            time.sleep(0.01)
            now = time.monotonic()
            for new in received(link):  # in how many seconds, which torque
                plan = [x for x in plan if x[0] < now + new[0][0]] + [(now + t, u) for t, u in new]
            u = [u for t, u in plan if t <= now][-1]
            speed = 0.8 * speed if u is None else speed + 0.15 * math.sin(angle) + 0.03 * u
            angle += speed * 0.01


class UdpPendulum(Plant):
    def __init__(self, parts, resources, angle=math.pi):
        super().__init__()  # on the wall clock
        self.link, far = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
        far.bind(("127.0.0.1", 0))
        self.link.connect(far.getsockname())
        far.connect(self.link.getsockname())
        self.closing.callback(self.link.close)
        threading.Thread(target=robot, args=(far, angle), daemon=True).start()
        self.observation = [json.loads(self.link.recv(4096))]  # one world, as the library's

    def _observe(self, until):
        *_, self.observation = (self.observation, *([seen] for seen in received(self.link)))
        return Step(self.clock.now(), tandem.state(self), tandem.observe(self), tandem.events(self))

    def _follow(self, chunks, start):
        torques = [] if chunks is None else sum(c.clamp(-1, 1) for c in chunks)[0, :, 0].tolist()
        wait = start - self.clock.now() if torques else 0.0
        plan = [(wait + k / tandem.RATE_HZ, u) for k, u in enumerate([*torques, None])]
        self.link.send(json.dumps(plan).encode())
        while not torques and abs(json.loads(self.link.recv(4096))[2]) > 0.01:
            pass  # until it is at rest
