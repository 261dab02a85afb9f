import numpy as np
import pytest

from codi_franka.vision.estimate import Cause, CubeStatus
from codi_franka.vision.fit import Fit
from codi_franka.vision.hands import HandHistory, HandPoses
from codi_franka.vision.markers import MarkedBox
from codi_franka.vision.poses import exp, from_pose, inverse, matrix
from codi_franka.vision.tracker import CubeTracker
from tests.hardware.vision.synthetic import READY, on_table

SPREAD = np.diag([0.0005**2] * 3 + [0.005**2] * 3)
RATE = 10


def fit(pose):
    return Fit(pose, SPREAD, 0.3, 4, 2)


class Play:
    """A tracker, arms and a clock that advances picture by picture."""

    def __init__(self, box=None, rng=None):
        self.hands = HandHistory()
        self.tracker = CubeTracker(self.hands, *([box] if box else []))
        self.time = 0.0
        self.joints, self.widths = READY.copy(), np.array([0.08, 0.08])
        self.rng = rng

    def tick(self):
        self.time += 1 / RATE
        self.hands.add(self.time, HandPoses.of(self.joints, self.widths))

    def see(self, pose, count=1):
        for _ in range(count):
            self.tick()
            shown = pose
            if self.rng is not None:
                shown = matrix(pose[:3, :3], pose[:3, 3] + 0.0005 * self.rng.standard_normal(3))
            self.tracker.see(self.time, fit(shown))
        return self

    def miss(self, seconds, cause=Cause.HIDDEN):
        for _ in range(round(seconds * RATE)):
            self.tick()
            self.tracker.miss(self.time, cause)
        return self

    @property
    def now(self):
        return self.tracker.estimate(self.time)

    @property
    def hand(self):
        return self.hands.at(self.time).poses[0]


def test_a_cube_is_lost_until_three_sightings_agree():
    play = Play()
    assert play.now.status is CubeStatus.LOST and np.isnan(play.now.pose).all()
    assert play.see(on_table(), 2).now.status is CubeStatus.LOST
    assert play.see(on_table()).now.status is CubeStatus.SEEN
    assert play.now.pose == pytest.approx([0, 0, 0.025, 1, 0, 0, 0])
    assert play.now.cause is None and play.now.time == pytest.approx(0.3)


def test_noise_is_averaged_and_the_spread_says_so():
    play = Play(rng=np.random.default_rng(1)).see(on_table(), 40)
    found = [play.see(on_table()).now.pose[:3] - on_table()[:3, 3] for _ in range(100)]
    spread = np.sqrt(play.now.covariance[0, 0])
    assert np.std(found) < 0.0006
    assert 0.5 * spread < np.std(found) < 1.5 * spread


def test_a_moving_cube_has_a_velocity():
    play = Play()
    for step in range(20):
        play.see(on_table(0.2 * step / RATE, 0.0))
    assert play.now.twist[:3] == pytest.approx([0.2, 0, 0], abs=0.03)
    ahead = play.tracker.estimate(play.time + 0.1)
    assert ahead.pose[0] - play.now.pose[0] == pytest.approx(0.02, abs=0.006)


def test_hidden_it_is_predicted_then_stale_then_lost():
    play = Play().see(on_table(0.1), 10)
    states = []
    for _ in range(45):
        play.miss(0.1)
        states.append(play.now.status)
    order = [
        state for state, before in zip(states, [None, *states], strict=False) if state != before
    ]
    assert order == [CubeStatus.PREDICTED, CubeStatus.STALE, CubeStatus.LOST]
    assert states.count(CubeStatus.PREDICTED) in (5, 6, 7)
    assert states.count(CubeStatus.STALE) in (29, 30, 31)
    assert play.now.cause is Cause.HIDDEN
    assert play.now.time == pytest.approx(1.0)  # the age is known
    assert play.now.pose[:3] == pytest.approx([0.1, 0, 0.025], abs=1e-3)
    assert play.now.covariance[0, 0] < 1.0


def test_one_missed_picture_is_nothing():
    play = Play().see(on_table(), 10).miss(0.1)
    assert play.now.status is CubeStatus.PREDICTED
    assert play.see(on_table()).now.status is CubeStatus.SEEN


def test_no_news_at_all_ages_the_estimate_as_well():
    play = Play().see(on_table(), 10)
    assert play.tracker.estimate(play.time + 0.2).status is CubeStatus.SEEN
    assert play.tracker.estimate(play.time + 0.4).status is CubeStatus.PREDICTED
    assert play.tracker.estimate(play.time + 1.0).status is CubeStatus.STALE
    assert play.tracker.estimate(play.time + 4.0).status is CubeStatus.LOST


def test_a_held_cube_moves_with_the_hand_unseen():
    play = Play()
    play.tick()
    grasp = matrix(exp((0, 0, 0.2)), (0.002, 0.001, 0.003))
    play.see(play.hand @ grasp, 4)
    play.widths[0] = 0.05
    play.see(play.hand @ grasp, 3)
    assert play.now.status is CubeStatus.HELD and play.tracker.holder == 0
    for _ in range(50):
        play.joints[0] += [0.01, 0.01, -0.005, 0.01, 0.0, 0.004, 0.02]
        play.miss(0.1)
    assert play.now.status is CubeStatus.HELD
    where = play.hand @ grasp
    assert play.now.pose[:3] == pytest.approx(where[:3, 3], abs=1e-3)
    turned = from_pose(play.now.pose)[:3, :3].T @ where[:3, :3]
    assert turned == pytest.approx(np.eye(3), abs=0.01)
    assert np.linalg.norm(play.now.twist[:3]) > 0.04
    assert np.sqrt(np.trace(play.now.covariance[:3, :3])) < 0.03


def test_what_the_hand_lets_go_of_is_predicted_from_there():
    play = Play()
    play.tick()
    play.widths[0] = 0.05
    play.see(play.hand, 5).miss(3.0)
    play.widths[0] = 0.08
    play.miss(0.2)
    assert play.tracker.holder is None
    assert play.now.status is CubeStatus.PREDICTED
    play.miss(1.0)
    assert play.now.status is CubeStatus.STALE


def test_what_is_dropped_lies_below_where_the_hand_opened():
    play = Play()
    play.tick()
    play.widths[0] = 0.05
    play.see(play.hand, 5)
    for _ in range(5):
        play.joints[0, 0] += 0.05
        play.miss(0.1)
    dropped = play.now.pose[:3].copy()
    assert play.now.status is CubeStatus.HELD
    play.widths[0] = 0.08  # the hand opens, and goes on moving
    play.joints[0, 0] += 0.1
    play.miss(0.1)
    play.joints[0, 0] += 0.1
    play.tick()  # no picture of that moment yet
    assert play.now.pose[:2] == pytest.approx(dropped[:2], abs=0.015)
    assert play.now.pose[2] == pytest.approx(lying_height(play.now.pose), abs=1e-3)
    assert np.linalg.norm(play.hand[:2, 3] - dropped[:2]) > 0.04
    play.miss(0.4)
    assert play.now.pose[:2] == pytest.approx(dropped[:2], abs=0.015)


def test_a_hand_that_opens_between_pictures_carries_it_no_further():
    play = Play()
    play.tick()
    play.widths[0] = 0.05
    play.see(play.hand, 5)
    place = play.now.pose[:2].copy()
    play.widths[0] = 0.08
    for _ in range(3):
        play.joints[0, 0] += 0.1
        play.tick()
    assert play.now.pose[:2] == pytest.approx(place, abs=0.02)
    assert np.linalg.norm(play.hand[:2, 3] - place) > 0.05


def lying_height(pose):
    return np.abs(from_pose(pose)[2, :3]).sum() * 0.025


def test_one_camera_alone_does_not_lead_through_the_table():
    """Its distance is wrong all the time, as where a finger is taken for a marker's edge."""
    sight = np.array([0.0, 0.785, -0.62])
    spread = SPREAD.copy()
    spread[:3, :3] += 0.008**2 * np.outer(sight, sight)
    play = Play().see(on_table(), 5)
    for _ in range(30):
        play.tick()
        seen = on_table()
        seen[:3, 3] += 0.015 * sight
        play.tracker.see(play.time, Fit(seen, spread, 0.3, 3, 1))
    assert play.now.status is CubeStatus.SEEN
    assert play.now.pose[:3] == pytest.approx([0, 0, 0.025], abs=0.005)


def test_what_a_hand_of_ours_hides_was_not_taken():
    play = Play()
    play.tick()
    place = play.hand @ matrix(np.eye(3), (0, 0, 0.08))
    for _ in range(8):
        place[0, 3] += 0.015  # pushed, for instance
        play.see(place)
    play.miss(1.0)
    assert play.now.cause is Cause.HIDDEN and play.now.status is CubeStatus.STALE


def test_a_hand_that_closes_on_what_it_hides_holds_it():
    play = Play()
    play.tick()
    place = play.hand @ matrix(np.eye(3), (0.04, 0, 0))
    play.see(place, 5).miss(0.3)
    for width in (0.07, 0.06, 0.049, 0.048, 0.048, 0.047):
        play.widths[0] = width
        play.miss(0.1)
    assert play.now.status is CubeStatus.HELD and play.tracker.holder == 0
    across = play.hand[:3, :3].T @ (play.now.pose[:3] - play.hand[:3, 3])
    assert abs(across[1]) < 0.003 and np.linalg.norm(across) < 0.04


def test_a_hand_that_closes_between_two_pictures_takes_the_cube_with_it():
    play = Play()
    play.tick()
    place = play.hand @ matrix(np.eye(3), (0.02, 0, 0))
    play.see(place, 5)
    for width in (0.06, 0.049, 0.048):
        play.widths[0] = width
        play.tick()  # no picture
    held = play.hand
    assert play.now.status is CubeStatus.HELD
    assert play.now.pose[:3] == pytest.approx(held[:3, 3], abs=0.02)
    for _ in range(3):
        play.joints[0] += [0.05, 0.02, -0.01, 0.04, 0.0, 0.01, 0.05]
        play.tick()
    assert np.linalg.norm(play.hand[:3, 3] - held[:3, 3]) > 0.06
    assert play.now.status is CubeStatus.HELD
    assert play.now.pose[:3] == pytest.approx(play.hand[:3, 3], abs=0.02)
    assert play.tracker.holder is None  # pictures of before may still come
    assert play.miss(0.1).tracker.holder == 0
    assert play.now.pose[:3] == pytest.approx(play.hand[:3, 3], abs=0.02)


@pytest.mark.parametrize("hidden_for", [6.0, 20.0])
def test_what_a_hand_hides_is_not_lost_for_a_while(hidden_for):
    """The arms wait for what is lost, and would hide it for ever."""
    play = Play()
    play.tick()
    place = play.hand @ matrix(np.eye(3), (0.04, 0, 0))
    play.see(place, 5).miss(hidden_for)
    assert play.now.status is (CubeStatus.STALE if hidden_for < 12 else CubeStatus.LOST)
    assert play.now.cause is Cause.HIDDEN
    play.joints[0] += 0.4  # the hand has gone away
    assert play.miss(0.1).now.status is CubeStatus.LOST


def test_a_hand_that_closes_on_what_is_lost_holds_it():
    play = Play()
    play.tick()
    place = play.hand @ matrix(np.eye(3), (0.04, 0, 0))
    play.see(place, 5).miss(14.0)
    assert play.now.status is CubeStatus.LOST
    for width in (0.07, 0.06, 0.049, 0.048, 0.048, 0.047):
        play.widths[0] = width
        play.miss(0.1)
    assert play.now.status is CubeStatus.HELD and play.tracker.holder == 0
    assert np.linalg.norm(play.now.pose[:3] - play.hand[:3, 3]) < 0.04


def test_the_other_hand_takes_over():
    play = Play()
    play.tick()
    far = READY.copy()
    play.widths[:] = 0.05
    play.see(play.hand, 5)
    assert play.tracker.holder == 0
    # Both hands at one place is a matter of the history alone.
    right = play.hands.at(play.time).poses[1]
    play.tracker = CubeTracker(play.hands)
    play.see(right, 5)
    assert play.tracker.holder == 1
    assert (play.joints == far).all()


def test_a_cube_that_vanishes_in_motion_was_taken():
    play = Play().see(on_table(), 5)
    for step in range(8):
        play.see(matrix(np.eye(3), (0.03 * step, 0, 0.025 + 0.01 * step)))
    play.miss(0.5)
    assert play.now.cause is Cause.TAKEN and play.now.status is CubeStatus.PREDICTED
    play.miss(0.5)
    assert play.now.status is CubeStatus.LOST and play.now.cause is Cause.TAKEN
    play.see(on_table(-0.4, 0.2), 3)  # and is put down elsewhere
    assert play.now.status is CubeStatus.SEEN
    assert play.now.pose[:2] == pytest.approx([-0.4, 0.2], abs=1e-3)


def test_a_cube_that_vanishes_from_mid_air_was_taken():
    play = Play().see(matrix(np.eye(3), (0, 0.3, 0.3)), 10).miss(1.0)
    assert play.now.status is CubeStatus.LOST and play.now.cause is Cause.TAKEN


def test_a_tall_box_on_the_table_is_not_in_mid_air():
    box = MarkedBox((0.05, 0.05, 0.2), 0.04)
    play = Play(box).see(matrix(np.eye(3), (0, 0.3, 0.1)), 10).miss(1.0)
    assert play.now.status is CubeStatus.STALE and play.now.cause is Cause.HIDDEN


def test_a_jump_is_doubted_and_then_believed():
    play = Play().see(on_table(), 10).see(on_table(0.3))
    assert play.now.status is CubeStatus.STALE and play.now.cause is Cause.JUMPED
    assert play.now.pose[0] == pytest.approx(0.0, abs=1e-3)
    play.see(on_table(0.3), 2)
    assert play.now.status is CubeStatus.SEEN and play.now.cause is None
    assert play.now.pose[0] == pytest.approx(0.3, abs=1e-3)


def test_a_single_wild_sighting_changes_nothing():
    play = Play().see(on_table(), 10).see(on_table(0.3)).see(on_table())
    assert play.now.status is CubeStatus.SEEN
    assert play.now.pose[0] == pytest.approx(0.0, abs=1e-3)
    for wild in ((0.3, 0.0), (-0.2, 0.1), (0.0, 0.3), (0.3, 0.3), (-0.3, 0.0), (0.1, -0.3)):
        play.see(on_table(*wild))  # no two agree
        assert play.now.pose[0] == pytest.approx(0.0, abs=1e-3)


def test_doubt_without_confirmation_ends_in_lost():
    play = Play().see(on_table(), 10)
    rng = np.random.default_rng(2)
    for _ in range(45):
        play.see(on_table(*rng.uniform(-0.5, 0.5, 2), rng.uniform(-3, 3)))
        if play.now.status is CubeStatus.LOST:
            break
    else:
        pytest.fail("it never gave up")
    assert play.time > 3.0


@pytest.mark.parametrize(
    "cause", [Cause.CAMERAS_SILENT, Cause.CAMERAS_FROZEN, Cause.DISAGREE, Cause.HIDDEN]
)
def test_what_is_wrong_is_told_apart(cause):
    play = Play().see(on_table(), 10).miss(2.0, cause)
    assert play.now.cause is cause
    assert play.now.status is CubeStatus.STALE
    assert play.miss(3.0, cause).now.status is CubeStatus.LOST


def test_contradictions_are_doubted_at_once():
    play = Play().see(on_table(), 10).miss(0.1, Cause.DISAGREE)
    assert play.now.status is CubeStatus.STALE


def test_old_sightings_come_too_late():
    play = Play().see(on_table(), 10)
    play.tracker.see(play.time - 0.5, fit(on_table(0.01)))
    assert play.now.pose[0] == pytest.approx(0.0, abs=1e-6)


def test_a_cube_knocked_out_of_the_hand_is_found_again():
    play = Play()
    play.tick()
    play.widths[0] = 0.05
    play.see(play.hand, 6)
    assert play.now.status is CubeStatus.HELD
    play.see(on_table(-0.1, 0.3), 3)
    assert play.now.status is CubeStatus.SEEN and play.tracker.holder is None
    assert play.now.pose[1] == pytest.approx(0.3, abs=1e-3)


def test_poses_are_inverted():
    pose = on_table(0.1, 0.2, 0.3)
    assert inverse(pose) @ pose == pytest.approx(np.eye(4))


def test_one_small_marker_refines_what_is_known_and_never_changes_it():
    vague = np.diag([0.008**2] * 3 + [0.02**2] * 3)

    def weak(pose):
        return Fit(pose, vague, 0.2, 1, 1)

    play = Play()
    for _ in range(6):
        play.tick()
        play.tracker.see(play.time, weak(on_table()))
    assert play.now.status is CubeStatus.LOST
    play.see(on_table(), 5)
    for _ in range(6):
        play.tick()
        play.tracker.see(play.time, weak(on_table(0.2)))
    assert play.now.pose[0] == pytest.approx(0.0, abs=2e-3)
    assert play.now.cause is Cause.HIDDEN
    play.tick()
    play.tracker.see(play.time, weak(on_table(0.004)))
    assert play.now.status is CubeStatus.SEEN
    assert not Fit(on_table(), SPREAD, 0.2, 1, 1).weak  # near, and so large in the picture


def test_an_open_hand_around_a_long_box_does_not_hold_it():
    box = MarkedBox((0.05, 0.06, 0.12), 0.04)
    play = Play(box)
    play.tick()
    play.see(play.hand, 5)
    assert play.tracker.holder is None
    play.widths[0] = 0.06
    play.see(play.hand, 2)
    assert play.tracker.holder == 0
    play.widths[0] = 0.01  # nothing between the fingers
    play.see(play.hand, 2)
    assert play.tracker.holder is None
