import numpy as np
import pytest

from codi_franka.vision.markers import CUBE, FACES, MARKERS, MarkedBox


def test_six_markers_are_on_six_faces():
    assert tuple(range(6)) == MARKERS
    assert len({face.normal for face in FACES}) == 6
    for face in FACES:
        assert np.dot(face.normal, face.up) == 0


@pytest.mark.parametrize("box", [CUBE, MarkedBox((0.05, 0.08, 0.12), 0.04)])
def test_corners_run_clockwise_on_their_face_seen_from_outside(box):
    for face, corners in zip(FACES, box.corners(), strict=True):
        normal = np.array(face.normal)
        assert corners @ normal == pytest.approx(np.abs(normal) @ np.array(box.size) / 2)
        assert np.linalg.norm(corners - np.roll(corners, 1, 0), axis=-1) == pytest.approx(0.04)
        assert np.cross(corners[1] - corners[0], corners[2] - corners[1]) @ normal < 0
        assert (corners[0] - corners[3]) / 0.04 == pytest.approx(np.array(face.up))


def test_faces_have_the_sizes_of_the_box():
    box = MarkedBox((0.05, 0.08, 0.12), 0.04)
    sizes = {face.name: box.face_size(face) for face in FACES}
    assert sizes["+x"] == sizes["-x"] == pytest.approx((0.08, 0.12))
    assert sizes["+y"] == sizes["-y"] == pytest.approx((0.05, 0.12))
    assert sizes["+z"] == sizes["-z"] == pytest.approx((0.05, 0.08))


def test_a_marker_needs_its_white_edge():
    with pytest.raises(ValueError, match=r"at most 42\.9 mm"):
        MarkedBox(marker_size=0.045)
    with pytest.raises(ValueError, match="between 0 and 1 m"):
        MarkedBox((0.05, 0.0, 0.05))
