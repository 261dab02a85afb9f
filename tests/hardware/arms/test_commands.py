"""codi franka-check, franka-home and franka-recover, with fake arms."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager

import numpy as np
import pytest

from codi_franka.hardware.arms.gripper_worker import GripperWorker
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.commands import check as check_module
from codi_franka.hardware.commands import home as home_module
from codi_franka.hardware.commands import machine
from codi_franka.hardware.commands import recover as recover_module
from codi_franka.hardware.commands.cell import check_cell, check_network
from codi_franka.hardware.commands.findings import Result
from codi_franka.hardware.homing import distance
from codi_franka.robot.controller import HOME
from tests.hardware.arms.fakes import FakeArm, FakeHand

HOSTS = ["--left", "127.0.0.1", "--right", "127.0.0.2"]


class Cell:
    def __init__(self):
        self.arms = [FakeArm("left"), FakeArm("right")]
        self.links = [FakeHand(0.01), FakeHand(0.01)]
        self.clock = ArmClock()
        self.hands = [
            GripperWorker(name, link, self.clock)
            for name, link in zip(("left", "right"), self.links, strict=True)
        ]

    @contextmanager
    def connected(self, hosts, clock, settings):
        yield self.arms, self.hands


@pytest.fixture
def cell(monkeypatch):
    made = Cell()
    for module in (check_module, home_module, recover_module):
        monkeypatch.setattr(module, "connected", made.connected)
    yield made
    for hand in made.hands:
        hand.close()


def results(findings):
    return {finding.what: finding.result for finding in findings}


def test_home_brings_both_arms_home(cell, capsys):
    cell.arms[0].position = np.array(HOME) + 0.12
    cell.arms[1].position = np.array(HOME) - 0.1
    assert home_module.main([*HOSTS, "--yes", "--speed", "0.5", "--hands"]) == 0
    assert distance([arm.read(0.0) for arm in cell.arms]) < 0.03
    assert "where episodes start" in capsys.readouterr().out
    speeds = np.abs([velocity for arm in cell.arms for velocity in arm.sent])
    assert 0.1 < speeds.max() <= 0.5
    assert [link.told[0] for link in cell.links] == ["home", "home"]


def test_home_asks_whether_the_cell_is_free(cell, capsys):
    assert home_module.main(HOSTS) == 1
    assert "add --yes" in capsys.readouterr().err
    assert cell.arms[0].sent == []


def test_home_says_what_stops_it(cell, capsys):
    cell.arms[0].position = np.array(HOME) + 0.2
    cell.arms[0].gone = False
    cell.arms[1].recoverable, cell.arms[1].error = False, "joint_position_limits_violation"
    assert home_module.main([*HOSTS, "--yes"]) == 1
    assert "joint_position_limits_violation" in capsys.readouterr().err


def test_recover_clears_errors_and_moves_nothing(cell, capsys):
    cell.arms[1].error = "cartesian_reflex"
    assert recover_module.main(HOSTS) == 0
    told = capsys.readouterr().out
    assert "right arm: had the error cartesian_reflex; it can move" in told
    assert "left arm: had no error" in told
    assert cell.arms[0].sent == cell.arms[1].sent == []


def test_recover_says_what_to_do_about_the_rest(cell, capsys):
    cell.arms[0].recoverable, cell.arms[0].error = False, "power_limit_violation"
    assert recover_module.main(HOSTS) == 1
    assert "close the user stop" in capsys.readouterr().err


def test_all_is_well_with_arms_at_home(cell):
    findings = check_cell(cell.arms, cell.hands, cell.clock)
    assert set(results(findings).values()) == {Result.GOOD}
    assert not any(finding.remedy for finding in findings)


def test_what_is_wrong_is_told_with_a_remedy(cell):
    cell.arms[0].error = "joint_reflex"
    cell.links[1].most = 0.01
    time.sleep(0.25)  # until that has been read
    cell.arms[1].position = np.array(HOME) + 0.15
    cell.arms[1].force = np.array([0.0, 0.0, 90.0])
    found = {finding.what: finding for finding in check_cell(cell.arms, cell.hands, cell.clock)}
    for what, remedy in (
        ("errors of the left arm", "franka-recover"),
        ("right hand", "franka-home --hands"),
        ("start", "franka-home"),
        ("safety", "pushes"),
    ):
        assert found[what].result is Result.BAD
        assert remedy in found[what].line


def test_arms_that_are_too_near_to_each_other_are_told(cell):
    for arm in cell.arms:
        arm.position = np.array((0.0, 0.4, 0.0, -1.6, 0.0, 2.0, 0.785))
    found = results(check_cell(cell.arms, cell.hands, cell.clock))
    assert found["free workspace"] is Result.BAD


def test_a_network_that_loses_messages_is_told(cell):
    arm = cell.arms[0]
    arm.silent = True
    assert check_network([arm], cell.clock, 0.05)[0].result is Result.CAREFUL


def test_arms_that_cannot_be_reached_end_the_check(cell, capsys, monkeypatch):
    monkeypatch.setattr(machine, "PATIENCE", 0.2)
    # Other tests' peers may listen on the robots' own ports.
    monkeypatch.setattr(machine, "ROBOT_PORT", free_port())
    monkeypatch.setattr(machine, "HAND_PORT", free_port())
    assert check_module.main(HOSTS) == 1
    told = capsys.readouterr().out
    assert "left arm at 127.0.0.1: the robot and the hand can't be reached" in told
    assert "activate FCI" in told
    assert "network to" not in told


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def test_the_kernel_is_needed_by_real_arms_alone(tmp_path):
    flag = tmp_path / "realtime"
    assert machine.check_kernel(True, flag).result is Result.BAD
    assert machine.check_kernel(False, flag).result is Result.CAREFUL
    flag.write_text("1\n")
    assert machine.check_kernel(True, flag).result is Result.GOOD


def test_a_calibration_that_is_not_there_is_told(tmp_path):
    pytest.importorskip("cv2")
    found = machine.check_calibration(tmp_path / "none.json")
    assert found.result is Result.BAD
    assert "codi franka-calibrate" in found.remedy
