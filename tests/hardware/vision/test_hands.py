import mujoco
import numpy as np
import pytest

from codi_franka.physics.model import build_model
from codi_franka.physics.model_index import ModelIndex
from codi_franka.vision.hands import KEPT, HandHistory, HandPoses
from codi_franka.vision.poses import difference, from_pose
from tests.hardware.vision.synthetic import READY


def test_the_hands_are_where_the_simulator_has_them():
    rng = np.random.default_rng(0)
    joints = READY + rng.uniform(-0.3, 0.3, READY.shape)
    model = build_model()
    data, index = mujoco.MjData(model), ModelIndex.of(model)
    data.qpos[index.joint_qpos] = joints
    mujoco.mj_kinematics(model, data)
    hands = HandPoses.of(joints, (0.08, 0.05))
    for number, arm in enumerate(index.arms):
        place, turn = data.site_xpos[arm.tcp_site], data.site_xmat[arm.tcp_site]
        assert hands.poses[number, :3, 3] == pytest.approx(place, abs=1e-6)
        assert hands.poses[number, :3, :3] == pytest.approx(turn.reshape(3, 3), abs=1e-6)


def history(times, turn=1.0):
    past = HandHistory()
    for time in times:
        joints = READY.copy()
        joints[:, 0] += turn * time
        past.add(time, HandPoses.of(joints, (0.08 - time, 0.08)))
    return past


def test_between_entries_the_hands_are_on_their_way():
    past = history((0.0, 0.1, 0.2))
    joints = READY.copy()
    joints[:, 0] += 0.15
    expected = HandPoses.of(joints, (0.0, 0.0))
    found = past.at(0.15)
    for pose, wanted in zip(found.poses, expected.poses, strict=True):
        assert np.linalg.norm(difference(pose, wanted)[:3]) < 1e-3  # the chord of an arc
        assert np.linalg.norm(difference(pose, wanted)[3:]) < 1e-6
    assert found.widths == pytest.approx([-0.07, 0.08])


def test_beyond_the_newest_entry_they_go_on_for_a_while():
    past = history((0.0, 0.1))
    assert np.linalg.norm(past.at(0.2).poses[0, :3, 3] - past.at(0.1).poses[0, :3, 3]) > 0.02
    assert past.at(5.0).poses == pytest.approx(past.at(0.22).poses)
    assert past.at(5.0).widths == pytest.approx(past.at(0.1).widths)


def test_several_times_are_looked_at_once():
    past = history(np.arange(0, 0.31, 0.1))
    times = np.array([0.05, 0.1, 0.3, 0.5, -1.0])
    places, widths = past.along(times)
    for number, time in enumerate(times[:3]):
        one = past.at(time)
        assert places[number] == pytest.approx(one.poses[:, :3, 3], abs=1e-3)  # an arc's chord
        assert widths[number] == pytest.approx(one.widths)
    assert widths[3] == pytest.approx(past.at(0.3).widths)
    assert np.isnan(places[4]).all() and np.isnan(widths[4]).all()
    assert np.isnan(HandHistory().along(times)[1]).all()


def test_nothing_is_known_of_the_distant_past():
    assert HandHistory().at(0.0) is None
    past = history(np.arange(0, 5, 0.1))
    assert past.at(4.9 - KEPT - 0.3) is None
    assert past.at(4.9 - KEPT) is not None


def test_old_news_is_no_news():
    past = history((0.0, 0.1))
    past.add(0.05, HandPoses(np.stack([from_pose((9, 9, 9, 1, 0, 0, 0))] * 2), np.zeros(2)))
    assert past.at(0.05).poses[0, 0, 3] < 1.0
