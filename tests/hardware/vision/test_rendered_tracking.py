"""A small part of ``codi-bench tracking``: pictures of the real scene, spoilt as cameras do."""

import json

import cv2
import numpy as np
import pytest

from codi_franka.hardware.bench.runs import places
from codi_franka.hardware.motion.looking_around import LookingAround
from codi_franka.robot.controller import HOME
from codi_franka.vision.detection import MarkerDetector, Sightings
from codi_franka.vision.fit import Refusal, View, fit_box
from codi_franka.vision.hands import HandPoses
from codi_franka.vision.locate import Locator
from codi_franka.vision.markers import CUBE
from codi_franka.vision.measuring.command import main, summary
from codi_franka.vision.measuring.looks import CLEAN, HARD, ORDINARY, Bend, Darkroom
from codi_franka.vision.measuring.situations import (
    FIXED_CAMERAS,
    LENS,
    SITUATIONS,
    SIZE,
    WRIST_CAMERAS,
    Situation,
    held,
)
from codi_franka.vision.measuring.study import Outcome, Studio, measure
from codi_franka.vision.poses import difference, exp, matrix


@pytest.fixture(scope="module")
def studio():
    made = Studio(FIXED_CAMERAS, CUBE, np.random.default_rng(0), samples=0)
    yield made
    made.close()


def test_two_cameras_keep_to_a_millimetre(studio):
    random = np.random.default_rng(1)
    outcomes = measure(studio, SITUATIONS["table"], ORDINARY, 6, random)
    found = summary(outcomes)["both cameras"]
    assert found["count"] >= 4
    assert found["mm"][0] < 1.0 and found["mm"][2] < 3.0
    assert found["deg"][0] < 0.7


@pytest.mark.parametrize("cameras", [slice(1, 2), slice(0, 2)])
def test_of_two_poses_that_look_the_same_the_one_that_shows_more_markers_is_taken(
    studio, cameras, monkeypatch
):
    """Detection reads nothing but the marker on top, in the picture of the far camera."""
    pose = matrix(exp((0, 0, -1.9)), (-0.42, 0.25, 0.025))
    situation = Situation(np.tile(HOME, (2, 1)), np.full(2, 0.08), pose)
    pictures = studio.take(situation, CLEAN)[cameras]
    models = FIXED_CAMERAS[cameras]
    locator, find = Locator(CUBE), MarkerDetector().find

    def only_the_top(picture):
        found = find(picture)
        top = (found.markers == 4) & (picture is pictures[-1])
        return Sightings(found.markers[top], found.corners[top])

    monkeypatch.setattr(locator._detector, "find", only_the_top)
    views = [
        View(camera, camera.pose, only_the_top(picture))
        for camera, picture in zip(models, pictures, strict=True)
    ]
    assert fit_box(CUBE, views) is Refusal.AMBIGUOUS
    fit = locator.locate(
        [(model, model.pose, picture) for model, picture in zip(models, pictures, strict=True)]
    )
    assert fit.markers >= 2
    step = difference(fit.pose, pose)
    assert np.linalg.norm(step[:3]) < 0.01
    assert np.linalg.norm(step[3:]) < 0.1


def tops():
    """The upper face's middle (500, 4) of cubes where the person puts them."""
    spots = np.array(places(0, 500))[:, :2]
    return np.column_stack((spots, np.full(len(spots), 0.05), np.ones(len(spots))))


def inside(camera, hands=None):
    """Which of them are in a camera's picture."""
    seen = (tops() @ np.linalg.inv(camera.in_world(hands)).T)[:, :3]
    pixels = camera.lens.project(np.where(seen[:, 2:] > 0.05, seen, (0.0, 0.0, 1.0)))
    return ((pixels > 20) & (pixels < np.array(SIZE) - 20)).all(-1) & (seen[:, 2] > 0.05)


def test_fixed_cameras_see_all_places_that_a_cube_is_put_at():
    seen = [inside(camera) for camera in FIXED_CAMERAS]
    assert np.any(seen, 0).all()
    assert np.all(seen, 0).mean() > 0.99


def test_an_arm_that_looks_around_sees_all_places_that_a_cube_is_put_at():
    looking = LookingAround()
    turns = looking.sweep * np.sin(np.linspace(0, 2 * np.pi, 25))
    postures = np.tile(HOME, (25, 2, 1))
    postures[..., 0] = turns[:, None]
    postures[..., 5] += looking.tilt
    seen = [
        inside(WRIST_CAMERAS[0], HandPoses.of(joints, (0.08, 0.08)).poses) for joints in postures
    ]
    at_home = inside(WRIST_CAMERAS[0], HandPoses.of(np.tile(HOME, (2, 1)), (0.08, 0.08)).poses)
    assert at_home.mean() < 0.85
    assert np.any(seen, 0).mean() > 0.99


def test_a_camera_on_a_hand_sees_what_the_hand_holds():
    random = np.random.default_rng(2)
    studio = Studio(WRIST_CAMERAS, CUBE, random, samples=0)
    found = summary(measure(studio, held, ORDINARY, 3, random))["all"]
    studio.close()
    assert found["count"] >= 2
    assert found["mm"][2] < 1.0 and found["deg"][2] < 1.0


def test_a_bent_lens_bends_as_its_model_says():
    image = np.zeros((720, 1280), np.uint8)
    focal = 0.9 * LENS.focal
    point = np.array([0.35, -0.2, 1.0])
    at = focal * point[:2] + (639.5, 359.5)
    cv2.circle(image, (round(at[0]), round(at[1])), 6, 255, -1)
    bent = Bend(LENS, focal)(image)
    rows, columns = np.nonzero(bent > 128)
    moved_by = np.round(at) - at
    expected = LENS.project(point[None])[0] + moved_by / 0.9
    assert (columns.mean(), rows.mean()) == pytest.approx(expected, abs=0.3)


def test_looks_differ_in_how_hard_they_are():
    picture = np.full((720, 1280), 120, np.uint8)
    picture[:, 640:] = 200
    room = Darkroom(np.random.default_rng(4))
    grain = [np.std(room.develop(picture, look)[:, :600]) for look in (CLEAN, ORDINARY, HARD)]
    assert grain[0] < 2 < grain[1] and grain[2] > grain[0]
    assert room.develop(picture, ORDINARY).dtype == np.uint8


def test_a_summary_counts_what_was_refused():
    good = Outcome(0.001, 0.01, 0.001, 2, 4, 0.02, None, (0.001, 0, 0, 0.01, 0, 0))
    bad = Outcome(np.nan, np.nan, np.nan, 0, 0, 0.01, "no marker was seen", None)
    row = summary([good, good, bad])
    assert row["refused"] == {"no marker was seen": 1}
    assert row["all"]["mm"].tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert row["both cameras"]["count"] == 2 and row["ms"] == pytest.approx(20)


def test_the_job_sees_no_cube_where_there_is_none(tmp_path, capsys):
    assert main(["--moments", "0", "--empty", "20", "--output", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "tracking.json").read_text())
    assert document["empty"] == {"pictures": 20, "marker": 0, "pose": 0}
    assert "20 pictures, 0 with one read nevertheless, 0 poses" in capsys.readouterr().out
