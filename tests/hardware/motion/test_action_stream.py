from functools import partial

import numpy as np
import pytest
import torch

from codi_core.errors import SpecificationError
from codi_franka.hardware.motion.action_stream import ActionStream
from codi_franka.hardware.trials.ideal_arms import IdealArms
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.kinematics import forward_kinematics, jacobian
from codi_franka.robot.parameters import MAX_WIDTH

PERIOD = 0.005


def chunk(*rows, width=MAX_WIDTH):
    """The same for both arms: (1, K, 7) each, from linear velocities (3,)."""
    actions = torch.zeros(1, len(rows), 7)
    actions[0, :, :3] = torch.tensor(rows)
    actions[..., 6] = width
    return (actions, actions.clone())


def hands(positions):
    return forward_kinematics(torch.from_numpy(positions))[0].numpy()


def drive(stream, arms, seconds):
    """Arms that do what is wanted at once; the wanted velocities (T, 2, 7)."""
    wanted = []
    for _ in range(round(seconds / PERIOD)):
        wanted.append(stream.wanted(arms.time, arms.readings()))
        arms.send(wanted[-1])
    return np.array(wanted)


def test_the_hand_gets_as_far_as_the_actions_say():
    stream, arms = ActionStream(), IdealArms(period=PERIOD)
    before = hands(arms.positions)
    rows = [(0.1, 0.0, 0.0), (0.1, 0.2, 0.0), (0.0, 0.2, -0.1), (-0.1, 0.0, -0.1)]
    stream.follow(chunk(*rows), start=0.1, now=0.0)
    drive(stream, arms, 0.8)
    gone = 0.1 * np.sum(rows, 0)
    np.testing.assert_allclose(hands(arms.positions) - before, [gone, gone], atol=4e-3)


def test_the_wanted_velocity_and_acceleration_have_no_steps():
    stream, arms = ActionStream(), IdealArms(period=PERIOD)
    stream.follow(chunk((0.3, 0.0, 0.0), (-0.3, 0.0, 0.0)), start=0.1, now=0.0)
    wanted = drive(stream, arms, 0.6)
    changes = np.diff(wanted, axis=0)
    # From 0.3 to -0.3 m/s in 0.1 s: at most 1.5 times the mean.
    reach = np.abs(wanted).max() / 0.3
    assert np.abs(changes).max() < 1.6 * 0.6 * reach * PERIOD / 0.1
    assert np.abs(np.diff(changes, axis=0)).max() < 0.35 * np.abs(changes).max()


def test_without_actions_nothing_is_wanted_and_after_the_last_it_goes_to_zero():
    stream, arms = ActionStream(), IdealArms(period=PERIOD)
    assert not drive(stream, arms, 0.1)[..., (0, 1, 3, 5)].any()
    stream.follow(chunk((0.2, 0.0, 0.0)), start=0.2, now=0.1)
    wanted = drive(stream, arms, 0.4)
    assert np.abs(wanted[20]).max() > 0.1
    np.testing.assert_allclose(wanted[-10:], 0.0, atol=1e-2)  # but for the pull to its posture


def test_a_new_chunk_replaces_what_follows_its_start_and_nothing_before():
    stream, other = ActionStream(), ActionStream()
    for each in (stream, other):
        each.follow(chunk(*[(0.1, 0.0, 0.0)] * 4), start=0.1, now=0.0)
    stream.follow(chunk((0.0, 0.3, 0.0)), start=0.3, now=0.15)
    readings = IdealArms().readings()
    for moment in np.arange(0.0, 0.25, 0.01):
        np.testing.assert_allclose(
            stream.wanted(moment, readings), other.wanted(moment, readings), atol=1e-12
        )
    expected = EndEffectorController().joint_velocity(
        torch.from_numpy(IdealArms().positions), torch.tensor([0.0, 0.15, 0, 0, 0, 0]).double()
    )
    np.testing.assert_allclose(stream.wanted(0.4, readings), expected, atol=1e-6)


@pytest.mark.parametrize("blend", [0.02, 0.1])
@pytest.mark.parametrize("late", [0.0, 0.01, 0.03, 0.05])
def test_a_chunk_that_comes_late_makes_no_step_either(late, blend):
    stream = ActionStream(blend)
    readings = IdealArms().readings()
    stream.follow(chunk(*[(0.2, 0.0, 0.0)] * 3, (-0.2, 0.0, 0.0)), start=0.0, now=-0.1)
    now = 0.3 - 0.05 + late
    before = stream.wanted(now, readings)
    stream.follow(chunk((0.0, 0.3, 0.0)), start=0.3, now=now)
    np.testing.assert_allclose(stream.wanted(now, readings), before, atol=1e-12)
    np.testing.assert_allclose(stream.wanted(now + 1e-4, readings), before, atol=0.01)


def test_widths_are_those_of_the_present_action():
    stream = ActionStream()
    np.testing.assert_array_equal(stream.widths(0.0), [MAX_WIDTH, MAX_WIDTH])
    actions = chunk((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    actions[1][0, 1, 6] = 0.02
    stream.follow(actions, start=0.1, now=0.0)
    np.testing.assert_allclose(stream.widths(0.19), [MAX_WIDTH, MAX_WIDTH])
    np.testing.assert_allclose(stream.widths(0.21), [MAX_WIDTH, 0.02])
    np.testing.assert_allclose(stream.widths(9.0), [MAX_WIDTH, 0.02])


@pytest.mark.parametrize(
    ("chunks", "start", "words"),
    [
        ((torch.zeros(2, 4, 7), torch.zeros(2, 4, 7)), 0.1, r"\(1, K, 7\) each"),
        ((torch.zeros(1, 4, 7), torch.zeros(1, 5, 7)), 0.1, r"\(1, K, 7\) each"),
        ((torch.zeros(1, 4, 7),), 0.1, r"\(1, K, 7\) each"),
        ((torch.full((1, 4, 7), torch.nan), torch.zeros(1, 4, 7)), 0.1, "not finite"),
        ((torch.zeros(1, 4, 7), torch.zeros(1, 4, 7)), -0.2, "began 0.200 s ago"),
    ],
)
def test_chunks_that_no_arm_can_follow_are_refused(chunks, start, words):
    with pytest.raises(SpecificationError, match=words):
        ActionStream().follow(chunks, start=start, now=0.0)


def test_asking_takes_no_more_calls_than_a_period_has_room_for(count_calls):
    stream, readings = ActionStream(), IdealArms().readings()
    stream.follow(chunk(*[(0.2, 0.1, 0.0)] * 8), start=0.0, now=-0.1)
    moments = np.linspace(0.0, 0.8, 20)
    calls = [count_calls(partial(stream.wanted, moment, readings)) for moment in moments]
    assert np.max(calls[1:]) < 600


def test_hands_go_down_no_faster_than_they_may():
    asked = []

    def descents(places, turned):
        asked.append((places, turned))
        return np.array((0.05, np.inf))

    stream, arms = ActionStream(), IdealArms(period=PERIOD)
    stream.follow(chunk(*[(0.1, 0.0, -0.2)] * 4), start=0.1, now=0.0)
    readings = arms.readings()
    free, bounded = (stream.wanted(0.3, readings, found) for found in (None, descents))
    places, turned = asked[0]
    assert places[:, 0] == pytest.approx((-0.27, 0.27), abs=0.01)  # in the world frame
    assert turned[:, 2, 2] == pytest.approx((-1.0, -1.0))
    model = jacobian(torch.from_numpy(arms.positions))[:, :3].numpy()
    before, after = (np.einsum("aij,aj->ai", model, each) for each in (free, bounded))
    assert before[:, 2] == pytest.approx((-0.2, -0.2), abs=0.01)
    assert after[:, 2] == pytest.approx((-0.05, before[1, 2]), abs=1e-3)
    assert after[:, :2] == pytest.approx(before[:, :2], abs=1e-3)
