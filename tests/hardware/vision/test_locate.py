import numpy as np
import pytest

from codi_franka.vision.detection import MarkerDetector
from codi_franka.vision.fit import Fit, Refusal, fit_box
from codi_franka.vision.locate import Locator
from codi_franka.vision.markers import CUBE, FACES, MarkedBox
from codi_franka.vision.measuring.drawn import BACK, FRONT, picture_of
from codi_franka.vision.poses import difference, moved
from codi_franka.vision.second_look import look_again
from tests.hardware.vision.synthetic import corners_of, on_table, random_pose, view

CAMERAS = (FRONT, BACK)


def seen(pose, rng, cameras=CAMERAS, box=CUBE):
    return [(camera, camera.pose, picture_of(pose, camera, rng, box)) for camera in cameras]


def test_the_pose_is_found_in_pictures():
    rng = np.random.default_rng(0)
    locator = Locator(CUBE)
    steps = []
    for _ in range(10):
        pose = random_pose(rng)
        steps.append(difference(locator.locate(seen(pose, rng), pose).pose, pose))
    away, turned = np.linalg.norm(np.array(steps).reshape(-1, 2, 3), axis=-1).T
    assert np.median(away) < 0.0006 and away.max() < 0.002
    assert np.degrees(np.median(turned)) < 0.6


def test_all_markers_are_where_the_table_says():
    rng = np.random.default_rng(1)
    read = set()
    detector = MarkerDetector()
    for _ in range(12):
        pose = random_pose(rng)
        found = detector.find(picture_of(pose, FRONT, rng))
        expected, _ = corners_of(CUBE, pose, FRONT)
        assert np.abs(found.corners - expected[found.markers]).max() < 1.5
        read |= set(found.markers.tolist())
    assert read == {face.marker for face in FACES}


def test_other_boxes_are_found_as_well():
    box = MarkedBox((0.05, 0.06, 0.09), 0.04)
    rng = np.random.default_rng(2)
    locator = Locator(box)
    for _ in range(4):
        pose = random_pose(rng)
        fit = locator.locate(seen(pose, rng, box=box), pose)
        assert np.linalg.norm(difference(fit.pose, pose)[:3]) < 0.002


def test_nothing_is_found_in_pictures_of_nothing():
    rng = np.random.default_rng(3)
    locator = Locator(CUBE)
    assert locator.locate(seen(None, rng)) is Refusal.NOTHING
    static = rng.integers(0, 256, (720, 1280)).astype(np.uint8)
    assert locator.locate([(FRONT, FRONT.pose, static)]) is Refusal.NOTHING


def test_a_pose_far_from_the_table_is_a_mistake():
    rng = np.random.default_rng(4)
    aside = moved(np.eye(4), (0, 3.0, 0, 0, 0, 0))
    elsewhere = [
        (camera, aside @ place, picture)
        for camera, place, picture in seen(on_table(0.1, 0.0, 0.4), rng)
    ]
    assert Locator(CUBE).locate(elsewhere) is Refusal.OUTSIDE


def test_a_second_look_finds_what_the_first_missed():
    rng = np.random.default_rng(5)
    pose = on_table(0.1, 0.05, 0.6)
    image = picture_of(pose, FRONT, rng)
    _, visible = corners_of(CUBE, pose, FRONT)
    everything = set(np.flatnonzero(visible).tolist())
    first = view(pose, FRONT, only=[min(everything)])
    again = look_again(CUBE, moved(pose, (0.0005, 0, 0, 0, 0.01, 0)), first, image)
    assert set(again.sightings.markers.tolist()) == everything
    expected, _ = corners_of(CUBE, pose, FRONT)
    assert np.abs(again.sightings.corners - expected[again.sightings.markers]).max() < 0.6


def test_a_second_look_adds_nothing_that_is_not_there():
    rng = np.random.default_rng(6)
    pose = on_table(0.1, 0.05, 0.6)
    nothing = view(pose, FRONT, only=[])
    for image in (picture_of(None, FRONT, rng), picture_of(pose, FRONT, rng)):
        elsewhere = on_table(-0.2, -0.1, 0.3)
        assert not len(look_again(CUBE, elsewhere, nothing, image).sightings.markers)
    turned = moved(pose, (0, 0, 0, 0, 0, np.pi / 2))  # other faces where these are
    assert not len(
        look_again(CUBE, turned, nothing, picture_of(pose, FRONT, rng)).sightings.markers
    )


def test_a_camera_that_reads_nothing_still_tells_the_distance():
    rng = np.random.default_rng(7)
    pose = on_table(0.05, 0.1, 0.5)
    pictures = [picture_of(pose, camera, rng) for camera in CAMERAS]
    locator = Locator(CUBE)
    find = locator._detector.find
    calls = iter([find, lambda image: view(pose, BACK, only=[]).sightings])

    class Blinded:
        def find(self, image):
            return next(calls)(image)

    locator._detector = Blinded()
    entries = [(c, c.pose, p) for c, p in zip(CAMERAS, pictures, strict=True)]
    both = locator.locate(entries, pose)
    alone = fit_box(CUBE, [view(pose, FRONT, rng)])
    assert isinstance(both, Fit) and both.cameras == 2
    assert np.trace(both.covariance[:3, :3]) < 0.2 * np.trace(alone.covariance[:3, :3])
    assert np.linalg.norm(difference(both.pose, pose)[:3]) < 0.001
    assert both.error == pytest.approx(0.2, abs=0.25)
