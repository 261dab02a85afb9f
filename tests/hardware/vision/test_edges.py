import cv2
import numpy as np
import pytest

from codi_franka.vision.detection import dictionary
from codi_franka.vision.edges import sharpen
from codi_franka.vision.markers import CUBE, FACES
from codi_franka.vision.measuring.drawn import draw_face
from codi_franka.vision.measuring.marked_scene import face_picture


def square(rng, size):
    turn = rng.uniform(-np.pi, np.pi)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (size / 2) * (1, rng.uniform(0.6, 1))
    corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    corners = corners * (1 + 0.04 * rng.standard_normal((4, 1)))
    return corners + (160, 120) + rng.random(2)


def drawn(corners, rng, noise, blur):
    """A picture of a marker with these corners (4, 2); the white edge lies around them."""
    image = np.full((240, 320), 120, np.uint8)
    picture = face_picture(CUBE, FACES[0])
    inner = np.array([[60, 60], [540, 60], [540, 540], [60, 540]], np.float32) - 0.5
    warp = cv2.getPerspectiveTransform(inner, corners.astype(np.float32))
    outer = np.array([[0, 0], [600, 0], [600, 600], [0, 600]], np.float32) - 0.5
    draw_face(image, cv2.perspectiveTransform(outer[None], warp)[0].astype(float), picture)
    image = cv2.GaussianBlur(image, (0, 0), blur)
    noisy = image + noise * rng.standard_normal(image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("size", "limit"), [(18, 0.2), (25, 0.15), (60, 0.1)])
def test_corners_are_found_to_a_fraction_of_a_pixel(size, limit):
    rng = np.random.default_rng(size)
    errors = []
    for _ in range(40):
        corners = square(rng, size)
        image = drawn(corners, rng, 4.0, 0.8)
        start = corners + rng.uniform(-1, 1, (4, 2))
        errors.append(np.linalg.norm(sharpen(image, start[None])[0] - corners, axis=-1))
    assert np.sqrt(np.mean(np.square(errors))) < limit


def test_there_is_no_bias():
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(60):
        corners = square(rng, 30)
        image = drawn(corners, rng, 2.0, 0.8)
        errors.append(sharpen(image, corners[None])[0] - corners)
    assert np.abs(np.mean(errors, (0, 1))) == pytest.approx(np.zeros(2), abs=0.03)


def test_without_edges_corners_stay_where_they_are():
    rng = np.random.default_rng(1)
    empty = np.full((240, 320), 90, np.uint8)
    corners = square(rng, 30)[None]
    assert sharpen(empty, corners) == pytest.approx(corners, abs=0.7)
    assert sharpen(empty, np.empty((0, 4, 2))).shape == (0, 4, 2)


def test_a_corner_beside_the_picture_does_no_harm():
    corners = square(np.random.default_rng(2), 30)[None] - (160, 120)
    found = sharpen(np.full((240, 320), 90, np.uint8), corners)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("method", ["SUBPIX", "CONTOUR"])
def test_small_markers_have_better_corners_than_opencvs(method):
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = getattr(cv2.aruco, f"CORNER_REFINE_{method}")
    detector = cv2.aruco.ArucoDetector(dictionary(), parameters)
    rng = np.random.default_rng(9)
    theirs, ours = [], []
    for _ in range(60):
        corners = square(rng, 24)
        image = drawn(corners, rng, 3.0, 0.6)
        found, numbers, _ = detector.detectMarkers(image)
        if numbers is None or numbers.ravel().tolist() != [0]:
            continue
        start = found[0].reshape(1, 4, 2).astype(float)
        theirs.append(start[0] - corners)
        ours.append(sharpen(image, start)[0] - corners)
    assert len(ours) > 30
    assert np.sqrt(np.mean(np.square(ours))) < 0.5 * np.sqrt(np.mean(np.square(theirs)))
