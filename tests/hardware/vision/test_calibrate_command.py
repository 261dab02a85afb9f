import attrs
import numpy as np
import pytest

from codi_franka.vision.board import Board
from codi_franka.vision.calibrate_command import make_main
from codi_franka.vision.calibration_file import load_cameras
from codi_franka.vision.camera_model import Lens
from codi_franka.vision.cameras import Frame, record
from codi_franka.vision.hands import HandPoses
from codi_franka.vision.measuring.drawn import draw_face
from codi_franka.vision.measuring.situations import SIZE, WRIST_CAMERAS, WRIST_LENS
from codi_franka.vision.poses import difference, exp, inverse, matrix
from tests.hardware.vision.synthetic import READY

BOARD = Board()
BOARD_PICTURE = np.where(BOARD.cells() > 127, 235, 25).astype(np.uint8)
# The board is drawn as a whole, so nothing may bend.
CAMERA = attrs.evolve(WRIST_CAMERAS[0], lens=Lens(SIZE, WRIST_LENS.matrix))
TABLE = matrix(exp((np.pi, 0, 0)) @ exp((0, 0, 0.3)), (-0.25, 0.1, 0.0))


def never(addresses):
    raise AssertionError("no arm is asked")


run = make_main(never)


def picture(camera_from_board, rng):
    image = np.full(SIZE[::-1], 140, np.uint8)
    wide, high = BOARD.extent
    corners = np.array([[0, 0, 0], [wide, 0, 0], [wide, high, 0], [0, high, 0]])
    there = corners @ camera_from_board[:3, :3].T + camera_from_board[:3, 3]
    draw_face(image, CAMERA.lens.project(there), BOARD_PICTURE, finer=2)
    return np.clip(image + 2 * rng.standard_normal(image.shape), 0, 255).astype(np.uint8)


def in_view(camera_from_board):
    wide, high = BOARD.extent
    corners = np.array([[0, 0, 0], [wide, 0, 0], [wide, high, 0], [0, high, 0]])
    there = corners @ camera_from_board[:3, :3].T + camera_from_board[:3, 3]
    if there[:, 2].min() < 0.1:
        return False
    pixels = CAMERA.lens.project(there)
    return bool(((pixels > 5) & (pixels < np.array(SIZE) - 5)).all())


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """Pictures that a hand has taken of a board on the table."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("shots")
    frames = []
    while len(frames) < 24:
        joints = READY + rng.uniform(-0.6, 0.6, READY.shape)
        pose = inverse(CAMERA.in_world(HandPoses.of(joints, (0, 0)).poses)) @ TABLE
        if in_view(pose):
            image = picture(pose, rng)
            frames.append((Frame(0.1 * len(frames), image, CAMERA.name), joints.tolist()))
    record(folder, frames)
    return folder


def test_from_pictures_to_a_calibrated_camera(shots, tmp_path, capsys):
    file = tmp_path / "cameras.json"
    common = ["--camera", CAMERA.name, "--shots", str(shots), "--file", str(file)]
    assert run(["lens", *common]) == 0, capsys.readouterr().err
    assert run(["place", *common, "--mount", "left"]) == 0, capsys.readouterr().err
    (model,) = load_cameras(file)
    assert model.mount == "left" and model.position_std < 0.002
    step = difference(model.pose, CAMERA.pose)
    assert np.linalg.norm(step[:3]) < 0.004 and np.linalg.norm(step[3:]) < 0.01
    capsys.readouterr()
    assert run(["show", "--file", str(file)]) == 0
    assert "left-wrist" in capsys.readouterr().out


def test_what_is_missing_is_said(shots, tmp_path, capsys):
    file = tmp_path / "cameras.json"
    common = ["--shots", str(shots), "--file", str(file)]
    assert run(["place", "--camera", "left-wrist", *common, "--mount", "left"]) == 2
    assert "lens of camera 'left-wrist' must be measured first" in capsys.readouterr().err
    assert run(["lens", "--camera", "other", *common]) == 2
    assert "no pictures of a camera 'other'" in capsys.readouterr().err
    assert run(["show", "--file", str(file)]) == 1
    assert "codi franka-calibrate record" in capsys.readouterr().err
    assert run(["place", "--camera", "left-wrist", *common]) == 2
    assert "--mount" in capsys.readouterr().err
