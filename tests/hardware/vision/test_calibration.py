import json
from datetime import UTC, datetime, timedelta

import attrs
import numpy as np
import pytest

from codi_core.errors import CodiError
from codi_franka.vision import uncertainty
from codi_franka.vision.board import Board
from codi_franka.vision.calibrate import fit_lens, fit_place
from codi_franka.vision.calibration_file import (
    Calibrated,
    CameraEntry,
    load_cameras,
    read_entries,
    write_entries,
)
from codi_franka.vision.camera_model import Lens
from codi_franka.vision.markers import CUBE
from codi_franka.vision.measuring.calibrating import (
    CalibrationError,
    arm_shots,
    board_shots,
    calibrated,
    write_calibration,
)
from codi_franka.vision.measuring.situations import FIXED_CAMERAS, LENS, SIZE, WRIST_CAMERAS
from codi_franka.vision.poses import difference, exp, matrix
from codi_franka.vision.uncertainty import left_open

BOARD = Board()


def test_a_lens_is_measured():
    fit = fit_lens(board_shots(LENS, np.random.default_rng(0), 25), SIZE)
    assert fit.lens.matrix == pytest.approx(LENS.matrix, abs=3.0)
    assert fit.lens.distortion[:2] == pytest.approx(LENS.distortion[:2], abs=0.05)
    assert 0.2 < fit.error < 0.35 and fit.pictures == 25
    x, y = np.meshgrid(np.linspace(50, 1230, 9), np.linspace(50, 670, 7))
    pixels = np.stack((x, y), -1).reshape(-1, 2)
    apart = LENS.focal * (fit.lens.rays(pixels) - LENS.rays(pixels))
    apart -= apart.mean(0)  # a shift is taken for a turn of the camera
    assert np.sqrt((apart**2).sum(-1).mean()) < 0.5


def test_too_little_is_said_to_be_too_little():
    rng = np.random.default_rng(1)
    with pytest.raises(CodiError, match="seen in 5 of 5 pictures; take at least 10"):
        fit_lens(board_shots(LENS, rng, 5), SIZE)
    with pytest.raises(CodiError, match="in the middle only"):
        fit_lens(board_shots(LENS, rng, 12, spread=0.1), SIZE)


def test_a_camera_on_a_hand_is_measured_with_a_board_on_the_table():
    rng = np.random.default_rng(2)
    camera = WRIST_CAMERAS[0]
    board = matrix(exp((np.pi, 0, 0)) @ exp((0, 0, 0.3)), (-0.25, 0.1, 0.0))
    hands, shots = arm_shots(camera, board, BOARD.corners(), rng)
    fit = fit_place(camera.lens, hands, shots)
    step = difference(fit.camera, camera.pose)
    assert np.linalg.norm(step[:3]) < 0.0006 and np.linalg.norm(step[3:]) < 0.001
    assert np.linalg.norm(difference(fit.target, board)[:3]) < 0.001
    assert 0.2 < fit.error < 0.4 and fit.leftover.position < 0.0006


def test_a_fixed_camera_is_measured_with_a_cube_in_the_hand():
    rng = np.random.default_rng(3)
    camera = FIXED_CAMERAS[0]
    grasp = matrix(exp((0.1, 0.0, 0.2)), (0.002, 0.0, 0.004))
    points = CUBE.corners()[[0, 3]].reshape(-1, 3)
    hands, shots = arm_shots(camera, grasp, points, rng, count=20)
    fit = fit_place(camera.lens, hands, shots)
    step = difference(fit.camera, camera.pose)
    assert np.linalg.norm(step[:3]) < 0.004
    away = np.linalg.norm(step[:3])
    assert away < 4 * fit.leftover.position  # it knows how well it knows


@pytest.mark.parametrize("cameras", [FIXED_CAMERAS, WRIST_CAMERAS])
def test_a_calibration_knows_how_well_it_knows(cameras):
    """Also what the lens is wrong by, which places and directions make up for in the pictures."""
    errors = [
        CalibrationError.of(calibrated(camera, np.random.default_rng((seed, 11))), camera)
        for camera in cameras
        for seed in range(6)
    ]

    def ratio(wrong, claimed):
        pairs = np.array([(getattr(e, wrong), getattr(e, claimed)) for e in errors])
        return np.sqrt((pairs[:, 0] ** 2).mean() / (pairs[:, 1] ** 2).mean())

    assert 0.5 < ratio("millimetres", "claimed_mm") < 2
    assert 0.5 < ratio("degrees", "claimed_degrees") < 2
    assert 0.5 < ratio("pixels", "claimed_pixels") < 2


def test_with_an_exact_lens_only_noise_is_left_open():
    rng = np.random.default_rng(8)
    slopes, rays = rng.standard_normal((400, 12)), rng.standard_normal((200, 2))
    residuals = 0.3 * rng.standard_normal(400)
    left = left_open(LENS, np.eye(4), slopes, residuals, rays)
    noise = residuals @ residuals / (400 - 12)
    wanted = noise * np.linalg.inv(slopes.T @ slopes)
    assert left.position == pytest.approx(np.sqrt(np.trace(wanted[:3, :3])))
    assert left.rotation == pytest.approx(np.sqrt(np.trace(wanted[3:6, 3:6])))


def test_what_the_lens_is_wrong_by_is_made_up_for_where_the_target_was():
    """Points at one distance are seen right from beside, whatever the middle is taken for."""
    lens = Lens(SIZE, LENS.matrix, LENS.distortion, np.array([0.0, 3.0, 3.0]))
    slopes = uncertainty._camera_slopes(lens, np.eye(4))
    left = left_open(lens, np.eye(4), slopes, np.zeros(70), uncertainty.AHEAD[:, :2])
    assert left.position == pytest.approx(3 * np.sqrt(2) / lens.focal)
    assert left.pixels == pytest.approx(0.0, abs=1e-6)


def test_an_arm_that_hardly_turns_tells_nothing():
    rng = np.random.default_rng(4)
    camera = WRIST_CAMERAS[0]
    board = matrix(exp((np.pi, 0, 0)) @ exp((0, 0, 0.3)), (-0.25, 0.1, 0.0))
    hands, shots = arm_shots(camera, board, BOARD.corners(), rng, spread=0.03)
    with pytest.raises(CodiError, match="hardly turned"):
        fit_place(camera.lens, hands, shots)
    with pytest.raises(CodiError, match="seen in 5 of 5 pictures"):
        fit_place(camera.lens, hands[:5], shots[:5])


def test_simulated_cameras_are_calibrated_as_real_ones_are(tmp_path):
    """What a driver is given is off by what the command would be off by, and says so."""
    path = tmp_path / "cameras.json"
    for cameras in (FIXED_CAMERAS, WRIST_CAMERAS):
        errors = write_calibration(path, cameras, np.random.default_rng(5))
        models = {model.name: model for model in load_cameras(path)}
        assert set(models) == set(errors) == {camera.name for camera in cameras}
        for camera in cameras:
            error, model = errors[camera.name], models[camera.name]
            assert 0 < error.millimetres < 10 and 0 < error.degrees < 0.5
            assert 0.02 < error.pixels < 1.5
            assert error.claimed_mm == pytest.approx(1000 * model.position_std, abs=1e-3)
            assert not np.array_equal(model.pose, camera.pose) and model.mount == camera.mount


def entry(**changes):
    camera = FIXED_CAMERAS[0]
    made = CameraEntry(
        "front",
        camera.lens,
        Calibrated.now(0.3, 20),
        "world",
        camera.pose,
        Calibrated.now(0.4, 15, 0.0005, 0.0004, 0.3),
    )
    return attrs.evolve(made, **changes)


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "cameras.json"
    write_entries(path, {"front": entry()})
    (model,) = load_cameras(path)
    assert model.pose == pytest.approx(FIXED_CAMERAS[0].pose)
    assert model.lens.matrix == pytest.approx(LENS.matrix)
    assert model.lens.size == SIZE and model.mount == "world"
    stds = (model.position_std, model.rotation_std, model.pixels_std)
    assert stds == (0.0005, 0.0004, 0.3)


def test_an_old_calibration_warns(tmp_path):
    path = tmp_path / "cameras.json"
    old = (datetime.now(UTC) - timedelta(days=100)).isoformat()
    write_entries(path, {"front": entry(lens_measured=Calibrated(old, 0.3, 20))})
    with pytest.warns(UserWarning, match="lens of camera 'front' was calibrated 100 days ago"):
        load_cameras(path)


def test_a_camera_without_a_place_is_refused(tmp_path):
    path = tmp_path / "cameras.json"
    write_entries(path, {"front": entry(mount=None, pose=None, place_measured=None)})
    assert read_entries(path)["front"].pose is None
    with pytest.raises(CodiError, match="where camera 'front' is, is unknown"):
        load_cameras(path)
    with pytest.raises(CodiError, match="names no cameras"):
        load_cameras(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("lens", "matrix"), [[1, 2], [3, 4]], "matrix of camera 'front'"),
        (("lens", "matrix"), [[-9, 0, 6], [0, 9, 3], [0, 0, 1]], "not positive"),
        (("lens", "distortion"), [0, 0, 0, 0, None], "distortion of camera 'front'"),
        (("lens", "error"), 7.0, "error of 7 pixels"),
        (("lens", "date"), "yesterday", "Invalid isoformat"),
        (("lens", "date"), "2026-01-01T00:00:00", "no time zone"),
        (("place", "mount"), "ceiling", "on 'ceiling'"),
        (("place", "position"), [1, 2, float("nan")], "position of camera 'front'"),
        (("place", "quaternion_wxyz"), [1, 1, 0, 0], "not of unit length"),
        (("place", "mount"), None, "is on 'None'"),
    ],
)
def test_damage_is_named(tmp_path, where, value, message):
    path = tmp_path / "cameras.json"
    write_entries(path, {"front": entry()})
    document = json.loads(path.read_text())
    document["cameras"]["front"][where[0]][where[1]] = value
    path.write_text(json.dumps(document))
    with pytest.raises(CodiError, match=message):
        read_entries(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2, "cameras": {}}', "{"])
def test_what_is_no_calibration_is_refused(tmp_path, text):
    path = tmp_path / "cameras.json"
    path.write_text(text)
    with pytest.raises(CodiError, match="is no calibration"):
        read_entries(path)
