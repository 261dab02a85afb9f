"""Two arms as a plant: fake arms and hands, the real safety layer, the real loop."""

from __future__ import annotations

import signal
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch

from codi_core.data import DemonstrationDataset
from codi_core.errors import PlantError
from codi_core.evaluation.recorder import RecordedTask, Recorder
from codi_core.evaluation.waves import WaveRunner
from codi_core.execution import LoopSettings, PlanMaker, ProcessWorker, RecedingHorizon
from codi_core.resources import Resources
from codi_core.tasks import EpisodeKey
from codi_core.testing import check_plant
from codi_franka.action import ACTION_NAMES
from codi_franka.handoff.metrics import HandoffMetrics
from codi_franka.handoff.options import HandoffOptions
from codi_franka.hardware import plant as plant_module
from codi_franka.hardware.dry_run import dry_run
from codi_franka.hardware.motion.looking_around import LookingAround
from codi_franka.hardware.trials.sideways import Sideways
from codi_franka.hardware.trials.sideways import sideways as chunk
from codi_franka.task import HandoffTask
from codi_franka.vision.estimate import CubeStatus
from tests.hardware.arms.cells import FakeCell

KEYS = [EpisodeKey(0, 0)]
SETTINGS = LoopSettings(rate_hz=10.0, horizon=16, execute=4, max_seconds=3.0)


def maker(how):
    """In the process that plans."""
    return PlanMaker(Sideways(how), None)


def test_it_keeps_the_contract_of_plants():
    check_plant(lambda: FakeCell().plant(), [chunk()[:, 0], chunk()[:, 0]], rate_hz=10.0)


def test_its_state_and_observation_are_those_of_the_environment():
    parts = HandoffTask().parts(HandoffOptions(start=(-0.2, 0.1, 0.0), randomize=False))
    environment = parts.environment(Resources(threads=1))
    expected = environment.reset(KEYS)
    with FakeCell().plant() as plant:
        step = plant.observe(0.0)
    assert set(step.observation) == set(expected.observation)
    for name, value in expected.observation.items():
        assert torch.allclose(step.observation[name], value, atol=1e-4), name
    assert type(step.state) is type(expected.state)
    assert torch.allclose(step.state.goal, expected.state.goal)
    assert set(expected.events) <= set(step.events)
    for name, value in expected.events.items():
        assert step.events[name].shape == value.shape, name


def test_metrics_can_score_it():
    cell = FakeCell()
    rollout = RecedingHorizon(Sideways(), SETTINGS).run(cell.plant(), KEYS)
    assert rollout.failures == (None,)
    record = HandoffMetrics().episode({k: v[:, 0] for k, v in rollout.events.items()}, 0.1)
    assert record["success"] is False
    assert np.isfinite(record["min_goal_distance_m"])


def test_hands_move_as_actions_say():
    cell = FakeCell()
    with cell.plant() as plant:
        before = plant.observe(0.0).events["hand_position"][0]
        plant.command((chunk(0.1), chunk(-0.1)), 0.0)
        after = plant.observe(1.0).events["hand_position"][0]
    # Base frames face each other: the right hand's y is the world's, turned round.
    moved = after - before
    assert moved[0, 1] == pytest.approx(0.09, abs=0.015)
    assert moved[1, 1] == pytest.approx(0.09, abs=0.015)
    assert np.abs(moved[:, [0, 2]]).max() < 0.01


def test_hands_close_when_they_are_told_to():
    cell = FakeCell()
    closing = chunk()
    closing[..., 6] = 0.0
    with cell.plant() as plant:
        plant.observe(0.0)
        plant.command((closing, chunk()), 0.0)
        width = plant.observe(1.2).events["gripper_width"][0]
    assert cell.fake_hands[0].told == ["open", "close"]  # they begin open
    assert cell.fake_hands[1].told == ["open"]
    assert width == pytest.approx((0.05, 0.08))


def test_a_hand_lands_slowly_on_the_cube():
    """The left hand's finger is above the cube's edge, and both are wanted to go down."""
    down = chunk()
    down[..., 2] = -0.3
    cell = FakeCell()
    start = plant_start()
    cell.cube.pose[:3] = (start[0, 0], start[0, 1] - 0.02, start[0, 2] - 0.06)
    with cell.plant() as plant:
        plant.observe(0.0)
        plant.command((down, down), 0.0)
        moved = plant.observe(0.4).events["hand_position"][0] - start
    assert -0.04 < moved[0, 2] < -0.01
    assert moved[1, 2] < -0.07


def test_a_hand_that_never_answers_stops_both_arms(monkeypatch):
    monkeypatch.setattr("codi_franka.hardware.arms.gripper_worker.PATIENCE", 0.4)
    cell = FakeCell()
    cell.fake_hands[1].stuck.set()
    closing = chunk(0.1)
    closing[..., 6] = 0.0
    plant = cell.plant()
    with pytest.raises(PlantError, match="the right hand has not finished a command") as told:
        drive(plant, (closing, closing))
    assert "franka-home" in str(told.value)
    assert not any(arm.sent[-1].any() for arm in cell.arms)
    assert cell.cube.closed is False  # the driver's business, which has opened it
    cell.fake_hands[1].stuck.clear()


def drive(plant, chunks, seconds=1.5):
    with plant:
        plant.observe(0.0)
        plant.command(chunks, 0.0)
        for tick in range(1, int(10 * seconds)):
            plant.observe(tick / 10)


def test_lost_connection_to_one_arm_ends_the_run_with_the_other_at_rest():
    cell = FakeCell()
    plant = cell.plant()
    threading.Timer(0.7, lambda: setattr(cell.arms[0], "gone", True)).start()
    with pytest.raises(PlantError, match="left arm: the connection is lost"):
        drive(plant, (chunk(0.1), chunk(0.1)))
    assert not cell.arms[1].sent[-1].any()
    assert all(arm.closed for arm in cell.arms)


def test_an_error_of_an_arm_is_recovered_from_within_the_run():
    cell = FakeCell()
    plant = cell.plant()
    threading.Timer(0.5, lambda: setattr(cell.arms[1], "error", "joint_reflex")).start()
    rollout = RecedingHorizon(Sideways(), SETTINGS).run(plant, KEYS)
    assert rollout.failures == (None,)
    assert rollout.events["recovered"][-1] == 1
    assert cell.arms[1].recoveries == 1


@pytest.mark.slow
def test_a_planner_that_dies_leads_to_a_smooth_stop_and_can_be_restarted():
    """The arms are not restarted for it."""
    cells = FakeCell(), FakeCell()
    with ProcessWorker(partial(maker, "die")) as worker:
        loop = RecedingHorizon(worker, SETTINGS)
        for cell in cells:
            first, ticks = worker.pid, Ticks()
            assert "died" in loop.run(cell.plant(), KEYS, ticks).failures[0]
            # The last tick is at most a period before the failure is noticed.
            assert cell.rest_after(ticks.times[-1]) < 0.1 + 0.2
            assert_smooth(cell)
    assert worker.pid != first
    assert all(arm.recoveries == 0 for cell in cells for arm in cell.arms)


def test_a_planner_that_raises_leads_to_a_smooth_stop():
    cell, ticks = FakeCell(), Ticks()
    rollout = RecedingHorizon(Sideways("raise"), SETTINGS).run(cell.plant(), KEYS, ticks)
    assert "no idea" in rollout.failures[0]
    assert cell.rest_after(ticks.times[-1]) < 0.1 + 0.2
    assert_smooth(cell)


def test_a_planner_that_hangs_leads_to_a_stop_where_its_actions_end():
    cell, ticks = FakeCell(), Ticks()
    rollout = RecedingHorizon(Sideways("hang"), SETTINGS).run(cell.plant(), KEYS, ticks)
    assert "has been planning for" in rollout.failures[0]
    ends = rollout.replans[-1].start + 1.6
    assert cell.rest_after(ticks.times[-1] + ends - ticks.seconds[-1]) < 0.2
    assert_smooth(cell)


class Ticks:
    """Notes when control steps were over, by the real clock and the plant's."""

    def __init__(self):
        self.times, self.seconds = [], []

    def __call__(self, step):
        self.times.append(time.monotonic())
        self.seconds.append(step.after.time)


def assert_smooth(cell):
    """No velocity changes faster than arms may accelerate."""
    for arm in cell.arms:
        assert arm.steps(0.01).max() <= 9.0 * 0.01 + 1e-9
        assert not arm.sent[-1].any()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_the_arms_smoothly(number):
    """Ctrl-C, a kill, and a terminal that is lost."""
    from codi_core.commands.errors import guarded

    cell = FakeCell()

    def main(argv):
        drive(cell.plant(), (chunk(0.1), chunk(0.1)), 10.0)
        return 0

    sent = []

    def kill():
        sent.append(time.monotonic())
        signal.raise_signal(number) if number == signal.SIGINT else signal.pthread_kill(
            threading.main_thread().ident, number
        )

    # Where the tests run in the background, the shell may have had it ignored.
    default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, default)
    try:
        threading.Timer(0.6, kill).start()
        assert guarded(main)([]) == 130
    finally:
        signal.signal(number, before)
    assert cell.rest_after(sent[0]) < 0.2 + 0.1
    assert_smooth(cell)


def test_a_stale_cube_is_told():
    cell = FakeCell()
    cell.cube.status, cell.cube.age = CubeStatus.STALE, 1.5
    with cell.plant() as plant:
        step = plant.observe(0.0)
    assert step.events["cube_status"] == [3.0]
    assert step.events["cube_age_s"] == pytest.approx(1.5, abs=0.1)


def test_arms_wait_while_the_cube_is_lost_and_go_on_when_it_is_back():
    cell = FakeCell()
    with cell.plant() as plant:
        plant.observe(0.0)
        plant.command((chunk(0.1), chunk(0.1)), 0.0)
        plant.observe(0.4)
        cell.cube.status, cell.cube.pose = CubeStatus.LOST, np.full(7, np.nan)
        step = plant.observe(0.5)
        assert step.state.cube_position[0].tolist() == pytest.approx([-0.2, 0.1, 0.025])
        assert plant.observe(0.9).state.cube_velocity.abs().max() == 0.0
        assert not cell.arms[0].sent[-1].any()
        cell.cube.status, cell.cube.pose = CubeStatus.SEEN, np.array([0, 0, 0.025, 1, 0, 0, 0.0])
        plant.observe(1.0)
        plant.observe(1.3)
        assert np.abs(cell.arms[0].sent[-1]).max() > 0.05
    assert_smooth(cell)


def test_arms_look_around_for_a_lost_cube_where_told_to_and_go_on_when_it_is_back(monkeypatch):
    monkeypatch.setattr(plant_module, "LookingAround", partial(LookingAround, after=0.6))
    cell = FakeCell(looks_around=True)
    with cell.plant() as plant:
        plant.observe(0.0)
        plant.command((chunk(0.1), chunk(0.1)), 0.0)
        cell.cube.status, cell.cube.pose = CubeStatus.LOST, np.full(7, np.nan)
        plant.observe(0.1)
        plant.observe(0.4)
        assert not cell.arms[0].sent[-1].any()
        plant.observe(1.3)
        assert all(max(sent[5] for sent in arm.sent) > 0.2 for arm in cell.arms)  # they tilt
        cell.cube.status, cell.cube.pose = CubeStatus.SEEN, np.array([0, 0, 0.025, 1, 0, 0, 0.0])
        plant.observe(1.4)
        plant.observe(1.5)
        assert all(0.02 < np.abs(arm.sent[-1]).max() < 0.4 for arm in cell.arms)
    assert_smooth(cell)


def test_a_cube_that_was_never_seen_is_told_with_a_remedy():
    cell = FakeCell()
    cell.cube.status, cell.cube.pose = CubeStatus.LOST, np.full(7, np.nan)
    with cell.plant() as plant, pytest.raises(PlantError, match="where the cube is, is unknown"):
        plant.observe(0.0)


def test_hands_give_way(monkeypatch):
    """A contact reflex with default thresholds: the hand leaves before the arm trips."""
    cell = FakeCell()
    cell.arms[0].force = np.array([0.0, -30.0, 0.0])
    with cell.plant() as plant:
        plant.observe(0.0)
        plant.command((chunk(0.1), chunk(0.1)), 0.0)
        step = plant.observe(0.5)
    moved = step.events["hand_position"][0] - plant_start()
    assert moved[0, 1] < 0.0 < -moved[1, 1]
    assert step.events["force_n"][0] == pytest.approx((30.0, 0.0))


def plant_start():
    """Where the hands are at home, (2, 3)."""
    with FakeCell().plant() as plant:
        return plant.observe(0.0).events["hand_position"][0]


def test_what_was_recorded_can_be_read_when_an_arm_was_lost(tmp_path):
    cell = FakeCell()
    task = RecordedTask("franka-handoff", ("left", "right"), (ACTION_NAMES, ACTION_NAMES), 10.0)
    threading.Timer(0.8, lambda: setattr(cell.arms[0], "gone", True)).start()
    with Recorder(tmp_path / "recording", task, {}) as recorder:
        runner = WaveRunner(
            plant=lambda keys: cell.plant(),
            loop=RecedingHorizon(Sideways(), SETTINGS),
            metrics=HandoffMetrics(),
            seed=3,
            recorder=recorder,
        )
        with pytest.raises(PlantError, match="left arm"):
            runner.run([0])
    data = DemonstrationDataset.load(tmp_path / "recording")
    assert data.episodes == 1
    frames, first = data.arrays, torch.cat((chunk(0.1)[0, 0], chunk(-0.1)[0, 0]))
    assert 3 <= len(frames["action"]) <= 10
    assert frames["action"][0] == pytest.approx(first.numpy())
    assert {"event.force_n", "event.rejections"} <= set(frames)


def test_arms_that_nobody_commands_stand_still():
    """Also away from home, where the controller would pull them to."""
    cell = FakeCell()
    for arm in cell.arms:
        arm.position += 0.1
    with cell.plant() as plant:
        plant.observe(0.0)
        time.sleep(0.1)
        assert not any(np.array(arm.sent).any() for arm in cell.arms)
        plant.command((chunk(steps=3), chunk(steps=3)), 0.0)
        plant.observe(0.8)
        assert not any(arm.sent[-1].any() for arm in cell.arms)


def test_a_dry_run_begins_where_everything_is_and_moves_nothing():
    cell = FakeCell()
    cell.arms[0].position += 0.05
    parts = HandoffTask().parts(HandoffOptions(randomize=False))
    plant = dry_run(cell.plant(), parts, Resources(threads=1))
    before = cell.arms[0].position.copy()
    rollout = RecedingHorizon(Sideways(), LoopSettings(10.0, 16, 4, 0.8)).run(plant, KEYS)
    start, end = rollout.events["joint_position"][[0, -1], 0]
    assert start[0] == pytest.approx(before, abs=1e-5)
    assert rollout.events["cube_position"][0, 0] == pytest.approx((-0.2, 0.1, 0.025), abs=1e-3)
    assert np.abs(end - start).max() > 0.02  # in the simulation
    assert not any(np.array(arm.sent).any() for arm in cell.arms)
