"""The wire to a worker in another interpreter, MuJoCo behind it: the contract, and its ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from codi_core import experiments
from codi_core.errors import UsageError
from codi_core.tasks import EpisodeKey
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.isaac import process, wire
from codi_franka.physics.isaac.process import Worker, WorkerError
from codi_franka.physics.isaac.simulator import WorkerMaker, WorkerSimulator
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.robot.cell import ARMS
from codi_franka.testing import EXACT, check_handoff_simulator
from franka.scenes import random_chunks, state

BACKEND = str(Path(__file__).with_name("mujoco_backend.py"))
LIGHT = """
import numpy as np
import wire

{before}

def make(opening):
    {making}
    return Backend()


class Backend:
    measures = ()
    versions = {{}}

    def set_state(self, state, rows, cubes):
        self.kept = {{name: value.copy() for name, value in state.items()}}

    def step(self, targets, count, rows):
        {stepping}
        return dict(self.kept, valid=np.ones(len(rows)))

    def close(self):
        pass
"""
"""A backend that imports nothing large, with a line in each of three places."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def light(
    folder: Path, before: str = "", making: str = "pass", stepping: str = "pass", **options: Any
) -> WorkerSimulator:
    backend = folder / "light.py"
    backend.write_text(LIGHT.format(before=before, making=making, stepping=stepping))
    made = WorkerMaker(sys.executable, backend=str(backend), **options)(ARMS, 2)
    made.set_state(state(worlds=2))
    return made


def is_gone(pid: int, seconds: float = 6.0) -> bool:
    """Whether a process is no more, or a zombie of somebody else's."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return True
        if status.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def leftovers(folder: Path) -> list[str]:
    """Files of workers, wherever they may be."""
    paths = (*folder.glob("codi-*"), *Path("/dev/shm").glob("codi-*.shared"))
    return [str(path) for path in paths]


# -- the contract -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_mujoco_behind_the_wire_keeps_the_contract() -> None:
    """To the last bit of what MuJoCo says in this process; a dozen workers are started."""
    check_handoff_simulator(WorkerMaker(sys.executable, backend=BACKEND), EXACT)


@pytest.mark.usefixtures("here")
def test_mujoco_behind_the_wire_says_what_it_says_here() -> None:
    theirs, ours = WorkerMaker(sys.executable, backend=BACKEND)(ARMS, 2), MujocoMaker()(ARMS, 2)
    start, targets = state(cube=(-0.2, 0.0, 0.3), worlds=2), torch.zeros(2, 16)
    targets[1, 0], targets[:, [7, 15]] = 0.5, 0.05
    for simulated in (theirs, ours):
        simulated.set_state(start)
    for count in (10, 3, 0):
        found, expected = theirs.step(targets, count), ours.step(targets, count)
        for name in ("joint_position", "joint_velocity", "gripper_width", "cube_velocity"):
            assert torch.equal(getattr(found.state, name), getattr(expected.state, name)), name
        for name in ("valid", "arm_contact", "cube_contact", "cube_force"):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name
    rows = torch.tensor([1])
    theirs.set_state(start.of_worlds(rows), rows)
    seen = theirs.step(targets[rows], 10, rows)
    assert seen.state.cube_position[0, 2].item() == pytest.approx(0.246, abs=1e-4)
    theirs.close()


def test_episodes_behind_the_wire_are_those_here(here: Path) -> None:
    """Cubes of their own, a second of random actions, one world that starts anew: to the bit."""
    theirs, ours = (
        FrankaEnvironment(HandoffOptions(), make)
        for make in (WorkerMaker(sys.executable, backend=BACKEND), MujocoMaker())
    )
    keys, chunks = [EpisodeKey(1, 0), EpisodeKey(1, 1)], random_chunks(2, 1, 10, seed=3)
    for environment in (theirs, ours):
        environment.reset(keys)
        for step in range(10):
            environment.step(tuple(chunk[:, 0, step] for chunk in chunks))
        environment.reset([EpisodeKey(1, 2)], rows=[1])
    found, expected = (e.step(tuple(c[:, 0, 0] for c in chunks)) for e in (theirs, ours))
    for name, value in expected.events.items():
        seen = found.events[name]  # distances cross the wire in single precision
        assert np.array_equal(seen, value.astype(seen.dtype)), name
    theirs.simulator.close()


def test_what_is_not_measured_is_estimated(here: Path) -> None:
    simulated = light(here)
    near = state(cube=(0.3, 0.3, 0.025), hands=((-0.02, 0.0, 0.3), (0.02, 0.0, 0.3)), worlds=2)
    far = state(cube=(-0.2, 0.0, 0.2), hands=((-0.2, 0.0, 0.2), None), width=0.05, worlds=2)
    seen = {}
    for name, there in (("near", near), ("far", far)):
        simulated.set_state(there)
        seen[name] = simulated.step(torch.zeros(2, 16), 0)
    assert seen["near"].arm_contact.all()
    assert not seen["near"].cube_contact.any()
    assert seen["near"].hand_distance.tolist() == [0.0, 0.0]
    assert not seen["far"].arm_contact.any()
    assert seen["far"].cube_contact.all()
    assert (seen["far"].hand_distance > 0.3).all()
    simulated.close()


# -- ends ---------------------------------------------------------------------------------------


def test_a_closed_worker_is_gone_with_all_its_files(here: Path) -> None:
    simulated = light(here)
    worker = simulated.worker
    assert worker.about["python"] == sys.version.split()[0]
    simulated.close()
    simulated.close()
    assert worker.process.returncode == 0
    assert leftovers(here) == []
    with pytest.raises(WorkerError, match="was closed"):
        simulated.step(torch.zeros(2, 16), 1)


def test_a_forgotten_worker_ends(here: Path) -> None:
    simulated = light(here)
    pid = simulated.worker.process.pid
    del simulated
    assert is_gone(pid)
    assert leftovers(here) == []


def after(seconds: float, act: Callable[[], None]) -> None:
    threading.Timer(seconds, act).start()


def test_killed_between_calls(here: Path) -> None:
    simulated = light(here)
    simulated.worker.process.kill()
    simulated.worker.process.wait()
    for _ in range(2):  # and the same error again
        with pytest.raises(WorkerError, match=r"the worker of .* (has gone|has ended in step) \("
                           "killed by SIGKILL"):  # fmt: skip
            simulated.step(torch.zeros(2, 16), 1)
    assert leftovers(here) == []


def test_killed_in_the_middle_of_a_call(here: Path) -> None:
    simulated = light(here, before="import time", stepping="time.sleep(60)")
    after(0.3, simulated.worker.process.kill)
    began = time.monotonic()
    with pytest.raises(WorkerError, match=r"has ended in step \(killed by SIGKILL\)"):
        simulated.step(torch.zeros(2, 16), 1)
    assert time.monotonic() - began < 5.0
    assert leftovers(here) == []


def test_killed_while_it_makes_the_simulation(here: Path) -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(WorkerError, match=r"has ended making the simulation \(killed by SIGKILL"):
        light(here, making=kill)
    assert leftovers(here) == []


def test_killed_before_it_connects(here: Path) -> None:
    dying = here / "python"
    dying.write_text("#!/bin/sh\necho no isaacgym here\nexit 3\n")
    dying.chmod(0o755)
    message = r"has ended before it connected \(exit code 3\); it said: no isaacgym here"
    with pytest.raises(WorkerError, match=message):
        WorkerMaker(str(dying))(ARMS, 1)
    assert leftovers(here) == []


def test_an_error_of_the_simulation_has_its_name(here: Path) -> None:
    simulated = light(here, stepping="raise ArithmeticError('so many steps')")
    with pytest.raises(WorkerError, match="failed in step: ArithmeticError: so many steps"):
        simulated.step(torch.zeros(2, 16), 1)
    assert is_gone(simulated.worker.process.pid)


def test_without_isaac_gym_there(here: Path) -> None:
    with pytest.raises(WorkerError, match=r"failed .*isaacgym"):
        WorkerMaker(sys.executable)(ARMS, 1)
    assert leftovers(here) == []


def test_a_worker_that_hangs(here: Path) -> None:
    """Nothing is heard of it, not even that it lives."""
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    simulated = light(here, stepping=stop, patience=1.5)
    pid = simulated.worker.process.pid
    with pytest.raises(WorkerError, match=r"has not been heard of for 1.5 s in step"):
        simulated.step(torch.zeros(2, 16), 1)
    assert is_gone(pid)


def test_a_worker_that_takes_long_is_waited_for(here: Path) -> None:
    """Its heartbeats show that it lives."""
    simulated = light(here, before="import time", stepping="time.sleep(2.5)", patience=1.6)
    assert simulated.step(torch.zeros(2, 16), 1).valid.all()
    simulated.close()


def test_another_protocol_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PROTOCOL", 0)
    with pytest.raises(WorkerError, match="speaks protocol 1, this version of codi-franka 0"):
        light(here)
    assert leftovers(here) == []


def test_other_fields_are_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "layout", lambda copies, arms: wire.layout(copies, arms)[:-1])
    with pytest.raises(WorkerError, match="WireError: the client shares other fields"):
        light(here)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan_is_left_when_the_client_dies(here: Path, kind: signal.Signals) -> None:
    backend = here / "light.py"
    backend.write_text(LIGHT.format(before="", making="pass", stepping="pass"))
    code = (
        "import sys, time\n"
        "from codi_franka.physics.isaac.process import Worker\n"
        "opening = {'arms': ['left'], 'copies': 1}\n"
        f"worker = Worker(sys.executable, {str(backend)!r}, opening)\n"
        "print(worker.process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    pid = int(client.stdout.readline())
    client.send_signal(kind)
    client.wait()
    client.stdout.close()
    assert is_gone(pid)


# -- by name ------------------------------------------------------------------------------------


def environment(name: str) -> Any:
    return experiments.prepare("franka-handoff", simulator=name, physics_threads=1).environment()


def test_it_is_chosen_by_its_name(here: Path) -> None:
    made = environment(f"isaacgym:python={sys.executable},backend={BACKEND}").make_simulator
    assert (made.python, made.backend, made.device) == (sys.executable, BACKEND, "cpu")
    with pytest.raises(UsageError, match=r"isaacgym:python=/path/to/python3\.8"):
        environment("isaacgym")
    with pytest.raises(UsageError, match="'/no/python' can't be started"):
        Worker("/no/python", "isaacgym", {"arms": ["left"], "copies": 1})
