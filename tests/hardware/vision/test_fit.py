import attrs
import numpy as np
import pytest
from scipy.stats import chi2

from codi_franka.vision.camera_model import CameraModel
from codi_franka.vision.detection import Sightings
from codi_franka.vision.fit import Fit, Refusal, View, fit_box, rivals
from codi_franka.vision.markers import CUBE, MarkedBox
from codi_franka.vision.measuring.drawn import BACK, FRONT, LENS, looking
from codi_franka.vision.poses import difference, exp, matrix, moved
from tests.hardware.vision.synthetic import on_table, random_pose, view


def errors(fits, poses):
    steps = np.array([difference(fit.pose, pose) for fit, pose in zip(fits, poses, strict=True)])
    return np.linalg.norm(steps[:, :3], axis=-1), np.linalg.norm(steps[:, 3:], axis=-1), steps


def test_exact_corners_give_the_exact_pose():
    pose = on_table(0.2, -0.1, 0.7)
    fit = fit_box(CUBE, [view(pose, FRONT), view(pose, BACK)])
    assert difference(fit.pose, pose) == pytest.approx(np.zeros(6), abs=1e-6)
    assert fit.error < 1e-3 and fit.cameras == 2


def test_two_cameras_see_the_cube_to_a_millimetre_and_say_how_well():
    rng = np.random.default_rng(3)
    poses = [random_pose(rng) for _ in range(100)]
    fits = [fit_box(CUBE, [view(pose, FRONT, rng), view(pose, BACK, rng)]) for pose in poses]
    away, turned, steps = errors(fits, poses)
    assert np.median(away) < 0.0004 and np.median(turned) < np.radians(0.5)
    assert np.quantile(away, 0.95) < 0.001
    surprise = [s @ np.linalg.solve(f.covariance, s) for s, f in zip(steps, fits, strict=True)]
    assert 2.5 < np.mean(surprise) < 7.0  # 6 if corners were as noisy as is assumed
    assert np.mean(np.array(surprise) > chi2.ppf(0.99, 6)) < 0.05


def test_one_camera_is_worse_along_its_own_axis_and_knows_that():
    rng = np.random.default_rng(4)
    pose = on_table(0.1, 0.1, 0.4)
    fits = [fit_box(CUBE, [view(pose, FRONT, rng)]) for _ in range(60)]
    fits = [fit for fit in fits if isinstance(fit, Fit)]
    axis = pose[:3, 3] - FRONT.pose[:3, 3]
    axis /= np.linalg.norm(axis)
    depth = np.array([(fit.pose[:3, 3] - pose[:3, 3]) @ axis for fit in fits])
    claimed = np.sqrt(np.mean([axis @ fit.covariance[:3, :3] @ axis for fit in fits]))
    assert 0.5 * claimed < depth.std() < 1.5 * claimed
    assert claimed > 0.001


def test_a_wrong_marker_is_left_out():
    rng = np.random.default_rng(5)
    pose = on_table(0.0, 0.1, 0.5)
    front, back = view(pose, FRONT, rng), view(pose, BACK, rng)
    front.sightings.corners[0] += 15.0
    fit = fit_box(CUBE, [front, back])
    total = len(front.sightings.markers) + len(back.sightings.markers)
    assert fit.markers == total - 1
    assert np.linalg.norm(difference(fit.pose, pose)[:3]) < 0.001


def test_cameras_that_contradict_each_other_give_no_pose():
    pose = on_table()
    bumped = attrs.evolve(BACK, pose=moved(BACK.pose, (0.05, 0, 0, 0, 0, 0.05)))
    front, back = view(pose, FRONT), view(pose, BACK)
    back = View(bumped, bumped.pose, back.sightings)
    assert fit_box(CUBE, [front, back]) is Refusal.DISAGREE


def test_one_far_marker_has_two_poses_and_the_expected_one_is_taken():
    far = CameraModel("far", LENS, "world", looking((0.0, -2.0, 0.9), (0, 0, 0)))
    rng = np.random.default_rng(8)
    pose = matrix(exp((0, 0, 0.1)), (0.0, 0.0, 0.025))
    seen = view(pose, far, rng, noise=0.3, only=[3])
    assert fit_box(CUBE, [seen]) is Refusal.AMBIGUOUS
    assert len(rivals(CUBE, [seen])) == 2
    fit = fit_box(CUBE, [seen], expected=pose)
    assert isinstance(fit, Fit)
    assert np.linalg.norm(difference(fit.pose, pose)[3:]) < 0.3


def test_no_marker_is_no_pose():
    nothing = View(FRONT, FRONT.pose, Sightings(np.empty(0, np.intp), np.empty((0, 4, 2))))
    assert fit_box(CUBE, [nothing]) is Refusal.NOTHING
    assert fit_box(CUBE, []) is Refusal.NOTHING


def test_what_the_calibration_leaves_open_widens_the_covariance():
    pose = on_table()
    vague = [attrs.evolve(c, rotation_std=0.001, pixels_std=1.0) for c in (FRONT, BACK)]
    exact = fit_box(CUBE, [view(pose, FRONT), view(pose, BACK)])
    wide = fit_box(CUBE, [view(pose, camera) for camera in vague])
    grown = np.sqrt(np.diag(wide.covariance - exact.covariance))
    assert grown[:3] == pytest.approx(np.full(3, 1.2 / LENS.focal / np.sqrt(2)), rel=0.25)
    assert grown[3:] == pytest.approx(np.full(3, 0.001 / np.sqrt(2)))


def test_other_boxes_are_found_as_well():
    box = MarkedBox((0.05, 0.08, 0.12), 0.04)
    rng = np.random.default_rng(6)
    poses = [random_pose(rng) for _ in range(20)]
    fits = [fit_box(box, [view(p, c, rng, box=box) for c in (FRONT, BACK)]) for p in poses]
    away, _, _ = errors(fits, poses)
    assert away.max() < 0.003
