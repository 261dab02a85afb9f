from functools import partial

import attrs
import numpy as np
import pytest
import torch

from codi_core.errors import UsageError
from codi_franka.hardware.motion.action_stream import ActionStream
from codi_franka.hardware.motion.limits import MotionLimits
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import safety_settings
from codi_franka.hardware.safety.verdict import Reason
from codi_franka.hardware.trials.ideal_arms import IdealArms
from codi_franka.hardware.trials.judge import NONE, velocity_limits
from codi_franka.robot.controller import HOME
from codi_franka.robot.kinematics import jacobian
from codi_franka.robot.parameters import VELOCITY_LIMIT
from codi_franka.robot.self_clearance import self_clearance

PERIOD = 0.01
STILL = np.zeros((2, 7))
ANYWHERE = {"box_lowest": (-2.0, -2.0, -2.0), "box_highest": (2.0, 2.0, 2.0)}


def cell(name="normal", positions=(HOME, HOME), **changes):
    arms = IdealArms(positions, PERIOD)
    layer = SafetyLayer(safety_settings(name, **changes), PERIOD)
    layer.reset(arms.readings())
    return layer, arms


def drive(layer, arms, wanted, seconds):
    """What was found wrong, by reason: the latest of each."""
    found = {}
    for _ in range(round(seconds / arms.period)):
        verdict = layer.admit(wanted, arms.readings())
        found |= {each.reason: each for each in verdict.rejections}
        arms.send(verdict.velocities)
    return found


def hand_speeds(arms):
    """(2,) [m/s] of the tool centre points."""
    model = jacobian(torch.from_numpy(arms.positions))[:, :3].numpy()
    return np.linalg.norm(np.einsum("aij,aj->ai", model, arms.velocities), axis=-1)


def reading_of(arms, arm, **changes):
    readings = list(arms.readings())
    readings[arm] = attrs.evolve(readings[arm], **changes)
    return readings


def test_what_is_within_all_limits_is_reached_and_kept():
    layer, arms = cell()
    wanted = np.full((2, 7), 0.15)
    found = drive(layer, arms, wanted, 0.3)
    assert set(found) == {Reason.ACCELERATION}  # the first step
    np.testing.assert_allclose(arms.velocities, wanted)
    assert arms.violations() == NONE


def test_every_rejection_says_arm_reason_value_and_limit():
    layer, arms = cell()
    wanted = STILL.copy()
    wanted[1, 4] = 2.0
    rejections = {each.reason: each for each in layer.admit(wanted, arms.readings()).rejections}
    arm, reason, value, limit = rejections[Reason.SPEED]
    assert (arm, reason, value) == ("right", "speed", 2.0)
    assert limit == layer.limits.joints.speed[4]
    assert rejections[Reason.ACCELERATION][:3] == ("right", "acceleration", 2.0 / PERIOD)


def test_velocities_that_are_too_fast_are_scaled_as_a_whole():
    layer, arms = cell("full")
    wanted = STILL.copy()
    wanted[0, 4:7] = (2.0, -4.0, 8.0)
    found = drive(layer, arms, wanted, 0.3)
    assert found[Reason.SPEED].arm == "left"
    np.testing.assert_allclose(arms.velocities[0, 4:7] / arms.velocities[0, 6], (0.25, -0.5, 1.0))
    assert not arms.velocities[1].any()


def test_hands_keep_their_speed_limit():
    layer, arms = cell(hand_speed=0.2)
    wanted = STILL.copy()
    wanted[:, 0] = 1.0  # 0.38 m from the first joint's axis
    found = drive(layer, arms, wanted, 0.4)
    assert found[Reason.HAND_SPEED].limit == pytest.approx(0.2)
    assert hand_speeds(arms).max() <= 0.202


def test_a_first_run_takes_a_tenth_of_all_speeds():
    layer, arms = cell("first-run")
    drive(layer, arms, np.full((2, 7), 1.0), 0.4)
    assert 0.02 < np.abs(arms.velocities).max() <= 0.1 * 1.75
    assert hand_speeds(arms).max() <= 0.056


# -- the failures from the field ---------------------------------------------------------------


def test_a_step_in_the_commanded_velocity_aborts_a_ramp_does_not():
    step = STILL + 0.3
    raw = IdealArms(period=0.001)
    raw.send(step)
    assert raw.violations()["acceleration"] > 100.0
    assert raw.violations()["jerk"] > 1e5

    layer, arms = cell()
    drive(layer, arms, step, 0.3)
    np.testing.assert_allclose(arms.velocities, step)
    assert arms.violations() == NONE

    layer, arms = cell()
    share = np.linspace(0.0, 1.0, 21) ** 2  # 0.2 s long
    for each in share:
        verdict = layer.admit(each * step, arms.readings())
        assert verdict.rejections == ()
        arms.send(verdict.velocities)
        np.testing.assert_allclose(arms.velocities, each * step, atol=0.04)
    assert arms.violations() == NONE


def test_no_acceleration_discontinuity_now_and_then():
    """Actions that change at odd moments, each a little too early, too late, or lost."""
    rng = np.random.default_rng(1)
    layer, arms = cell("full")
    for _ in range(16):
        wanted = rng.normal(0.0, 0.5, (2, 7))
        for _ in range(int(rng.integers(1, 25))):
            arms.silent = rng.random() < 0.1
            noise = rng.normal(0.0, 0.01, (2, 7))
            arms.send(layer.admit(wanted + noise, arms.readings()).velocities)
    assert layer.stop_reason is None
    assert arms.violations() == NONE


@pytest.mark.parametrize(
    ("joint", "velocity"), [(0, 1.0), (2, -1.0), (3, -1.0), (4, 1.0), (5, -1.0), (5, 1.0), (6, 1.0)]
)
def test_no_joint_limit_errors_on_valid_looking_plans(joint, velocity):
    """Speeds that are fine by themselves, held until the joint is at its limit."""
    start = np.array((HOME, HOME))
    ends = MotionLimits.of(PERIOD, 0.2).joints
    end = (ends.highest if velocity > 0 else ends.lowest)[joint]
    start[0, joint] = end - 0.3 * velocity
    layer, arms = cell(positions=start, base_distance=1e-3, hand_speed=9.0, **ANYWHERE)
    wanted = STILL.copy()
    wanted[0, joint] = velocity
    found = drive(layer, arms, wanted, 1.0)
    assert found[Reason.JOINT_LIMIT].arm == "left"
    assert arms.positions[0, joint] == pytest.approx(end, abs=6e-3)
    assert abs(arms.velocities[0, joint]) < 0.02
    assert arms.violations() == NONE


def test_no_self_collision_errors_on_valid_looking_plans():
    """A hand that is drawn to its own base at an action's speed."""
    layer, arms = cell()
    stream = ActionStream()
    actions = torch.zeros(1, 16, 7)
    actions[..., 0], actions[..., 2] = -0.3, -0.2
    stream.follow((actions, torch.zeros(1, 16, 7)), start=0.05, now=0.0)
    found = {}
    while arms.time < 1.6:
        found |= drive(layer, arms, stream.wanted(arms.time, arms.readings()), PERIOD)
    assert found.keys() & {Reason.WORKSPACE, Reason.JOINT_LIMIT, Reason.TABLE, Reason.SELF}
    assert layer.geometry.distances(arms.positions[None]).min() > 0.0
    assert arms.violations() == NONE


FOLDED = (0.0, 0.6, 0.0, -2.8, 0.2, 0.7, 0.785)
"""The hand is in the shoulder; above joint 4's -2.6 rad it is clear of it."""


def own_clearance(arms):
    return float(self_clearance(torch.from_numpy(arms.positions[0])))


def test_an_arm_that_is_drawn_onto_itself_stops_before():
    start = (*FOLDED[:3], -2.2, *FOLDED[4:])
    layer, arms = cell("full", (start, HOME), base_distance=1e-3)
    assert own_clearance(arms) > 0.14
    wanted = STILL.copy()
    wanted[0, 3] = -0.5
    rejection = drive(layer, arms, wanted, 1.5)[Reason.SELF]
    least = layer.settings.self_distance
    assert (rejection.arm, rejection.limit) == ("left", least)
    nearest = self_clearance(torch.from_numpy(np.stack(arms.path)[:, 0])).min()
    assert least <= nearest < least + 0.01
    assert np.abs(arms.velocities[0]).max() < 1e-3
    assert arms.violations() == NONE


def test_an_arm_that_is_too_near_to_itself_may_go_away_and_not_nearer():
    layer, arms = cell("full", (FOLDED, HOME), base_distance=1e-3)
    before, wanted = own_clearance(arms), STILL.copy()
    assert before < 0.0
    wanted[0, 3] = -0.3
    drive(layer, arms, wanted, 0.4)
    assert own_clearance(arms) > before - 1e-3
    drive(layer, arms, -wanted, 1.0)
    assert own_clearance(arms) > before + 0.06


def test_no_contact_reflex_with_default_thresholds():
    """Carrying and pressing is let go on, contacts slow down, and stops come before the reflex."""
    layer, arms = cell()
    settings, wanted = layer.settings, np.full((2, 7), 0.5)
    arms.force[0] = (0.0, 0.0, -15.0)
    assert Reason.CONTACT not in drive(layer, arms, wanted, 0.3)
    usual = np.abs(arms.velocities[0]).max()

    arms.force[0] = (0.0, 0.0, -25.0)  # a reflex at the arm's own default threshold of 20 N
    found = drive(layer, arms, wanted, 0.3)
    assert Reason.CONTACT in found and layer.stop_reason is None
    slow = np.abs(arms.velocities[0]).max()
    assert slow <= settings.contact_speed * usual * 1.3
    arms.force[0] = (0.0, 0.0, -15.0)  # below where it began, above where it ends
    drive(layer, arms, wanted, 0.1)
    assert np.abs(arms.velocities[0]).max() <= slow * 1.1
    arms.force[0] = (0.0, 0.0, -10.0)
    drive(layer, arms, wanted, 0.3)
    assert np.abs(arms.velocities[0]).max() > 0.8 * usual

    arms.force[0] = (0.0, 0.0, -45.0)
    assert not layer.admit(wanted, arms.readings()).stop  # a spike
    arms.send(layer.motion.velocity)
    found = drive(layer, arms, wanted, 0.2 + PERIOD)
    assert found[Reason.FORCE] == ("left", Reason.FORCE, 45.0, settings.stop_force)
    assert layer.at_rest and not arms.velocities.any()
    assert settings.stop_force < settings.reflex_force
    assert arms.violations() == NONE


# -- what stops both arms ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        np.full((2, 7), np.nan),
        np.where(np.arange(14).reshape(2, 7) == 9, np.inf, 0.1),
        np.where(np.arange(14).reshape(2, 7) == 3, -np.inf, 0.1),
        np.zeros((2, 6)),
        np.zeros(14),
        None,
        "fast",
        [[0.0] * 7, [0.0] * 6],
    ],
)
def test_a_command_that_is_none_stops_both_arms(wrong):
    layer, arms = cell()
    drive(layer, arms, np.full((2, 7), 0.3), 0.2)
    verdict = layer.admit(wrong, arms.readings())
    assert verdict.stop
    assert verdict.rejections[-1].reason is Reason.COMMAND
    arms.send(verdict.velocities)
    drive(layer, arms, np.full((2, 7), 0.3), 0.2 - PERIOD)
    assert layer.at_rest
    assert not arms.velocities.any()
    assert arms.violations() == NONE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"joint_positions": np.full(7, np.nan)}, Reason.READING),
        ({"joint_velocities": np.array([np.inf, *[0.0] * 6])}, Reason.READING),
        ({"desired_positions": np.zeros(6)}, Reason.READING),
        ({"force": np.full(3, np.nan)}, Reason.READING),
        ({"time": np.nan}, Reason.READING),
        ({"joint_positions": np.array(HOME) + 9.0}, Reason.READING),
        ({"joint_velocities": 1.5 * np.array(VELOCITY_LIMIT)}, Reason.READING),
        ({"joint_positions": np.array(HOME) + 0.35}, Reason.NOT_FOLLOWING),
        ({"desired_positions": np.array(HOME) + 0.25}, Reason.NOT_FOLLOWING),
    ],
)
def test_reports_that_cannot_be_stop_both_arms(changes, reason):
    layer, arms = cell()
    drive(layer, arms, np.full((2, 7), 0.1), 0.1)
    verdict = layer.admit(np.full((2, 7), 0.1), reading_of(arms, 1, **changes))
    assert verdict.stop
    assert [each[:2] for each in verdict.rejections] == [("right", reason)]
    assert layer.stop_reason.startswith(f"right arm: {reason.value}")
    arms.send(verdict.velocities)
    drive(layer, arms, np.full((2, 7), 0.1), 0.2)
    assert layer.at_rest
    assert arms.violations() == NONE


@pytest.mark.parametrize("joint", range(7))
def test_a_load_on_a_joint_that_lasts_stops_both_arms(joint):
    layer, arms = cell()
    limit = layer.settings.stop_torques[joint]
    arms.torques[0, joint] = -limit - 1.0
    found = drive(layer, arms, STILL, 3 * PERIOD)
    assert found[Reason.TORQUE] == ("left", Reason.TORQUE, limit + 1.0, limit)
    assert layer.stop_reason is not None


def test_an_arm_that_reports_nothing_new_stops_both_in_time():
    layer, arms = cell()
    drive(layer, arms, np.full((2, 7), 0.2), 0.2)
    arms.silent = True
    began, found = arms.time, {}
    while layer.stop_reason is None:
        found |= drive(layer, arms, np.full((2, 7), 0.2), PERIOD)
    assert arms.time - began == pytest.approx(layer.settings.stale_seconds, abs=3 * PERIOD)
    assert found[Reason.STALE].limit == layer.settings.stale_seconds
    drive(layer, arms, STILL, 0.2)
    assert layer.at_rest


@pytest.mark.parametrize("name", ["first-run", "normal", "full"])
def test_arms_come_to_rest_in_time_when_asked(name):
    """0.2 s from normal speed, 0.3 s from full speed."""
    layer, arms = cell(name, hand_speed=9.0)
    wanted = STILL.copy()
    wanted[:, (0, 6)] = 9.0
    drive(layer, arms, wanted, 0.5)
    np.testing.assert_allclose(arms.velocities[:, 6], layer.limits.joints.speed[6])
    layer.stop("somebody asked")
    drive(layer, arms, wanted, 0.3 if name == "full" else 0.2)
    assert layer.at_rest
    assert layer.stop_reason == "somebody asked"
    assert not arms.velocities.any()
    assert arms.violations() == NONE


def test_after_a_stop_nothing_moves_until_a_reset():
    layer, arms = cell()
    layer.stop("first")
    layer.stop("second")
    assert layer.stop_reason == "first"
    drive(layer, arms, np.full((2, 7), 0.3), 0.1)
    assert not arms.velocities.any()
    layer.reset(arms.readings())
    drive(layer, arms, np.full((2, 7), 0.3), 0.1)
    assert arms.velocities.all()


def test_a_start_with_impossible_reports_is_refused():
    layer = SafetyLayer(safety_settings(), PERIOD)
    arms = IdealArms(period=PERIOD)
    with pytest.raises(UsageError, match="knows no arms yet"):
        layer.admit(STILL, arms.readings())
    with pytest.raises(UsageError, match="left arm can't be started: reading"):
        layer.reset(reading_of(arms, 0, force=np.full(3, np.nan)))


def test_what_arms_say_about_where_they_were_sent_is_adopted_slowly_unless_it_is_outwards():
    """A message was lost: the arm is a little behind."""
    layer, arms = cell()
    arms.positions = arms.positions + 0.02
    arms.path.append(arms.positions)
    drive(layer, arms, STILL, 2 * PERIOD)  # the first report is as old as the start's
    inwards, outwards = layer.motion.position[0, 3], layer.motion.position[0, 0]
    assert inwards == pytest.approx(HOME[3] + 0.02 * PERIOD / 0.1)
    assert outwards == pytest.approx(HOME[0] + 0.02 * PERIOD / 0.02)
    drive(layer, arms, STILL, 0.6)
    np.testing.assert_allclose(layer.motion.position, arms.positions, atol=1e-3)
    assert not arms.velocities.any()


@pytest.mark.parametrize("end", [1.0, -1.0])
def test_joints_that_run_ahead_are_as_slow_as_where_they_are_allows(end):
    """Something pushes the elbow to the end of its range, faster than it was told to go there."""
    start = np.array(HOME)
    start[3] = -0.4 if end > 0 else -2.75
    layer, arms = cell("full", (start, start), **ANYWHERE)
    wanted, ahead = STILL.copy(), np.zeros((2, 7))
    wanted[:, 3] = end
    ahead[:, 3] = 0.05 * end
    for _ in range(200):
        verdict = layer.admit(wanted, arms.readings())
        if not verdict.velocities.any():
            break
        arms.send(verdict.velocities)
        arms.positions = arms.positions + PERIOD * ahead
        arms.path[-1] = arms.positions
        lower, upper = velocity_limits(arms.positions)
        assert (verdict.velocities <= upper + 1e-9).all()
        assert (verdict.velocities >= lower - 1e-9).all()
    reached = arms.positions[0, 3]
    assert reached > -0.2 if end > 0 else reached < -2.95  # it came near the end


def test_arms_that_go_on_while_a_command_is_late_are_as_slow_as_where_they_are_allows():
    """Each command holds for a period and a half; reports are two periods old."""
    start = np.array(HOME)
    start[3] = -2.2
    arms = IdealArms((start, start), PERIOD, delay=2)
    layer = SafetyLayer(safety_settings("full", **ANYWHERE), PERIOD)
    layer.reset(arms.readings())
    wanted, now, fastest = STILL.copy(), 0.0, 0.0
    wanted[:, 3] = -2.0
    for _ in range(100):
        verdict = layer.admit(wanted, arms.readings(), now)
        arms.send(verdict.velocities)
        arms.positions = arms.positions + PERIOD / 2 * verdict.velocities
        arms.path[-1] = arms.positions
        now += 1.5 * PERIOD
        lowest, _ = velocity_limits(arms.positions)
        fastest = max(fastest, (verdict.velocities / lowest)[0, 3])
    assert 0.85 < fastest < 0.93  # the layer keeps to nine tenths


def test_judging_takes_no_more_calls_than_a_period_has_room_for(count_calls):
    layer, arms = cell()
    calls = []
    for _ in range(20):
        calls.append(count_calls(partial(layer.admit, np.full((2, 7), 0.2), arms.readings())))
        arms.send(layer.motion.velocity)
    assert np.max(calls[1:]) < 1_000
