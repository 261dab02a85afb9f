"""Pictures show things where they are, in the published look or without it."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from codi_core.errors import CodiError
from codi_core.evaluation.run_folder import RunFolder
from codi_core.tasks import EpisodeKey
from codi_franka.geometry import quaternion_exp
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import SUCCESS_RADIUS, HandoffOptions
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.rendering import meshes, opengl, palette
from codi_franka.rendering.command import main
from codi_franka.rendering.meshes import assets_folder, load_visual_meshes, merge_close_vertices
from codi_franka.rendering.moments import grasps, key_moments
from codi_franka.rendering.scene import CAMERA, HandoffScene, build_scene
from codi_franka.rendering.shadows import LIGHT_DIRECTION
from codi_franka.rendering.video_renderer import HandoffRenderer
from codi_franka.robot.controller import HOME
from franka.scenes import posture

SIZE = (320, 240)
CUBE = (-0.2, -0.15, 0.025)
GOAL = (0.45, 0.0, 0.025)
AWAY = (0.0, 0.5, -0.6)
"""A cube on the floor behind the table, where it shows and shades nothing."""


def _opengl_works() -> str:
    try:
        opengl.open_context(16, 16).free()
    except CodiError as error:
        return str(error)
    return ""


needs_opengl = pytest.mark.skipif(
    bool(_opengl_works()), reason="no off-screen OpenGL here: " + _opengl_works()[:200]
)
needs_meshes = pytest.mark.skipif(
    assets_folder() is None, reason="franky-sim, which brings the meshes, is not installed"
)


@pytest.fixture(scope="module")
def scene() -> HandoffScene:
    return build_scene(meshes=False)


@pytest.fixture(scope="module")
def renderer() -> HandoffRenderer:
    return HandoffRenderer(SIZE, meshes=False)


def trace(cubes: list[tuple[float, ...]], **changes) -> dict[str, np.ndarray]:
    """Arms at home with open grippers, and the cube at these places."""
    steps = len(cubes)
    events = {
        "joint_position": np.broadcast_to(np.array(HOME), (steps, 2, 7)),
        "gripper_width": np.full((steps, 2), 0.08),
        "cube_position": np.array(cubes),
        "cube_quaternion": np.broadcast_to([1.0, 0.0, 0.0, 0.0], (steps, 4)),
        "goal": np.broadcast_to(GOAL, (steps, 3)),
        "hand_position": np.broadcast_to([(-0.2, 0, 0.35), (0.2, 0, 0.35)], (steps, 2, 3)),
    }
    return events | changes


def pixel(scene: HandoffScene, point: tuple[float, ...], size: tuple[int, int]) -> tuple[int, int]:
    """Row and column at which a pinhole camera sees a point of the world frame."""
    data = mujoco.MjData(scene.model)
    mujoco.mj_kinematics(scene.model, data)
    mujoco.mj_camlight(scene.model, data)
    camera = scene.model.camera(CAMERA).id
    local = data.cam_xmat[camera].reshape(3, 3).T @ (np.array(point) - data.cam_xpos[camera])
    half = np.tan(np.radians(scene.model.cam_fovy[camera]) / 2)
    x, y = local[:2] / -local[2] / half * size[1] / 2
    return round(size[1] / 2 - y), round(size[0] / 2 + x)


def hue(colour: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """A colour without its brightness."""
    colour = np.asarray(colour, float)
    return colour / np.linalg.norm(colour)


# -- video frames -------------------------------------------------------------------------------


@needs_opengl
@pytest.mark.parametrize("place", [CUBE, (0.1, -0.4, 0.025), (-0.5, 0.3, 0.2)])
def test_the_cube_is_seen_where_it_is_projected(renderer, scene, place) -> None:
    picture = renderer.picture(trace([place]), 0)
    row, column = pixel(scene, place, SIZE)
    assert hue(picture[row, column]) @ hue(palette.CUBE) > 0.99
    away = renderer.picture(trace([AWAY]), 0)
    assert hue(away[row, column]) @ hue(palette.CUBE) < 0.98


@needs_opengl
def test_the_goal_is_a_green_disc_of_the_tolerance(renderer, scene) -> None:
    goal = np.array([[-0.1, -0.25, 0.025]])
    picture = renderer.picture(trace([AWAY], goal=goal), 0).astype(int)

    def green(distance: float) -> bool:
        point = (goal[0, 0] + distance, goal[0, 1], 0.0)
        red, value, _ = picture[pixel(scene, point, SIZE)]
        return value > red

    assert all(green(share * SUCCESS_RADIUS) for share in (-0.9, -0.5, 0.5, 0.9))
    assert not any(green(share * SUCCESS_RADIUS) for share in (-1.15, 1.15))


@needs_opengl
def test_a_cube_in_the_air_darkens_the_table_along_the_light(renderer, scene) -> None:
    height = 0.2
    below = (CUBE[0], CUBE[1] - 0.2, 0.0)
    x, y, z = LIGHT_DIRECTION
    place = (below[0] + height * x / z, below[1] + height * y / z, height)
    spot = pixel(scene, below, SIZE)
    lit = renderer.picture(trace([AWAY]), 0)[spot].astype(float)
    shaded = renderer.picture(trace([place]), 0)[spot].astype(float)
    assert shaded.sum() < 0.8 * lit.sum()
    assert hue(shaded) @ hue(lit) > 0.99


@needs_opengl
def test_each_arm_moves_on_its_own_side(renderer) -> None:
    still = renderer.picture(trace([AWAY]), 0).astype(int)
    for arm, side in ((0, slice(0, SIZE[0] // 2)), (1, slice(SIZE[0] // 2, None))):
        joints = np.array([[HOME, HOME]])
        joints[0, arm, 0] = 0.5
        moved = renderer.picture(trace([AWAY], joint_position=joints), 0).astype(int)
        change = np.abs(moved - still).sum(-1) > 30
        assert change[:, side].sum() > 100
        assert change[:, side].sum() == change.sum()


@needs_opengl
def test_one_frame_a_control_step_each_its_own_array(renderer) -> None:
    events = trace([CUBE, (0.0, -0.2, 0.025), CUBE])
    frames = list(renderer.frames(events))
    assert [frame.shape for frame in frames] == [(SIZE[1], SIZE[0], 3)] * 3
    assert all(frame.dtype == np.uint8 for frame in frames)
    np.testing.assert_array_equal(frames[0], frames[2])
    assert (frames[0] != frames[1]).any()


@needs_opengl
def test_it_draws_again_after_close() -> None:
    renderer = HandoffRenderer((64, 48), meshes=False)
    before = renderer.picture(trace([CUBE]), 0)
    renderer.close()
    renderer.close()
    np.testing.assert_array_equal(renderer.picture(trace([CUBE]), 0), before)
    renderer.close()


@needs_opengl
def test_it_draws_what_the_environment_reports() -> None:
    options = HandoffOptions(start=(*CUBE[:2], 0.4), randomize=False)
    environment = FrankaEnvironment(options, MujocoMaker(1))
    events = environment.reset([EpisodeKey(0, 0)]).events
    renderer = HandoffRenderer(SIZE, meshes=False)
    quaternion = quaternion_exp(torch.tensor([0.0, 0.0, 0.4])).numpy()
    expected = renderer.picture(trace([CUBE], cube_quaternion=quaternion[None]), 0)
    np.testing.assert_allclose(
        renderer.picture(events, 0).astype(int), expected.astype(int), atol=8
    )
    renderer.close()


# -- OpenGL -------------------------------------------------------------------------------------


def test_without_opengl_the_message_says_what_to_set_and_install(monkeypatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    with pytest.raises(CodiError, match="MUJOCO_GL=egl") as raised:
        HandoffRenderer((32, 24), meshes=False).picture(trace([CUBE]), 0)
    for word in ("MUJOCO_GL=osmesa", "libegl1", "libosmesa6", "nonsense"):
        assert word in str(raised.value)


@needs_opengl
def test_an_opengl_that_fails_gives_way_to_the_next() -> None:
    """In a process of its own: the first OpenGL that a process uses stays."""
    code = (
        "import sys; from codi_franka.rendering import opengl\n"
        "working = opengl._candidates()\n"
        "opengl._candidates = lambda: ('nonsense', *working)\n"
        "opengl.open_context(32, 32).free(); print('drawn')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "drawn", done.stderr


@needs_opengl
def test_the_interpreter_ends_quietly_with_an_open_renderer() -> None:
    code = (
        "import numpy as np; from codi_franka.rendering.scene import build_scene, CAMERA\n"
        "import mujoco; from codi_franka.rendering.opengl import OffscreenCamera\n"
        "model = build_scene(meshes=False).model\n"
        "camera = OffscreenCamera(model, CAMERA, (32, 24))\n"
        "print(camera.picture(mujoco.MjData(model)).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "(24, 32, 3)")
    assert "Traceback" not in done.stderr, done.stderr


# -- the look -----------------------------------------------------------------------------------


def test_without_the_meshes_it_says_so_and_names_the_extra(monkeypatch) -> None:
    monkeypatch.setattr("codi_franka.rendering.scene.assets_folder", lambda: None)
    with pytest.warns(UserWarning, match=r"codi-franka\[visual\]") as caught:
        scene = build_scene()
    assert not scene.has_meshes
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)


def test_asking_for_plain_shapes_is_no_reason_to_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not build_scene(meshes=False).has_meshes


@needs_meshes
def test_the_meshes_are_found_without_importing_their_package() -> None:
    code = (
        "import sys; from codi_franka.rendering.meshes import assets_folder\n"
        "assert assets_folder() is not None; assert 'franky_sim' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_meshes
def test_thinned_meshes_keep_the_shape() -> None:
    thin = load_visual_meshes(assets_folder())
    full = load_visual_meshes(assets_folder(), cell=0.0)
    assert sum(len(mesh.faces) for mesh in thin) < 0.15 * sum(len(mesh.faces) for mesh in full)
    for one, other in zip(thin, full, strict=True):
        assert (one.body, one.rgba) == (other.body, other.rgba)
        for bound in (np.min, np.max):
            gap = bound(one.vertices, axis=0) - bound(other.vertices, axis=0)
            assert np.abs(gap).max() < meshes.CELL


@needs_meshes
def test_meshes_lie_on_the_collision_shapes() -> None:
    """The fingers' meshes end where the physics model's pads are, and link 0 stands on z = 0."""
    parts = load_visual_meshes(assets_folder(), cell=0.0)

    def points(body: str) -> np.ndarray:
        return np.concatenate([part.vertices for part in parts if part.body == body])

    assert abs(points("link0")[:, 2].min()) < 0.003
    assert points("left_finger")[:, 2].max() == pytest.approx(0.053, abs=0.002)
    assert np.abs(points("left_finger")[:, 0]).max() < 0.012


@needs_opengl
@needs_meshes
def test_with_meshes_the_hand_is_where_physics_has_it() -> None:
    """A cube between the fingers is hidden by neither look in another place."""
    point = (-0.25, -0.1, 0.2)
    joints = np.array([[posture("left", point), HOME]])
    dressed = HandoffRenderer(SIZE, meshes=True)
    plain = HandoffRenderer(SIZE, meshes=False)
    changed = []
    for look in (dressed, plain):
        with_arm = look.picture(trace([AWAY], joint_position=joints), 0).astype(int)
        without = look.picture(trace([AWAY]), 0).astype(int)
        changed.append(np.abs(with_arm - without).sum(-1) > 40)
        look.close()
    both, either = changed[0] & changed[1], changed[0] | changed[1]
    assert both.sum() > 0.5 * either.sum()


def test_merging_vertices_takes_means_and_drops_collapsed_faces() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float) + 0.5
    vertices = np.concatenate((corners, corners[:1] + 0.02))
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3], [0, 4, 1]], np.int32)
    merged, kept = merge_close_vertices(vertices, faces, 0.1)
    assert len(merged) == 4
    assert len(kept) == 4
    assert np.abs(merged - (corners[0] + 0.01)).max(-1).min() < 1e-12
    same, untouched = merge_close_vertices(vertices, faces, 10.0)
    assert same is vertices
    assert untouched is faces


# -- paths and film strip -----------------------------------------------------------------------


def handover() -> dict[str, np.ndarray]:
    """The left hand brings the cube to the centre, the right hand takes it to the goal."""
    steps = np.arange(61)
    x = np.interp(steps, [0, 10, 20, 40, 50, 60], [-0.4, -0.4, 0.0, 0.0, 0.45, 0.45])
    cube = np.stack((x, np.zeros(61), np.full(61, 0.025)), -1)
    hands = np.stack((cube, cube), 1) + [[0.0, 0.3, 0.1]]
    width = np.full((61, 2), 0.08)
    for arm, held in ((0, slice(8, 23)), (1, slice(35, 53))):
        hands[held, arm] = cube[held]
        width[held, arm] = 0.05
    return trace([tuple(place) for place in cube], hand_position=hands, gripper_width=width)


def test_grasps_are_found_with_their_times() -> None:
    assert grasps(handover()) == [(0, 8, 22), (1, 35, 52)]


def test_a_touch_of_two_steps_is_no_grasp() -> None:
    events = handover()
    events["gripper_width"][8:21, 0] = 0.08
    assert grasps(events) == [(1, 35, 52)]


def test_the_key_moments_tell_the_handover() -> None:
    moments = key_moments(handover(), 6)
    assert [(moment.step, moment.caption) for moment in moments] == [
        (0, "start"),
        (8, "left arm grasps"),
        (23, "left arm lets go"),
        (35, "right arm grasps"),
        (47, "within 15 cm of the goal"),
        (60, "end"),
    ]
    assert [moment.step for moment in key_moments(handover(), 7)] == [0, 8, 23, 35, 47, 53, 60]
    assert [moment.step for moment in key_moments(handover(), 2)] == [0, 60]


def test_an_uneventful_episode_is_cut_evenly() -> None:
    assert [moment.step for moment in key_moments(trace([CUBE] * 9), 5)] == [0, 2, 4, 6, 8]
    assert [moment.step for moment in key_moments(trace([CUBE] * 3), 6)] == [0, 1, 2]


@needs_opengl
def test_a_film_strip_is_written(tmp_path: Path) -> None:
    renderer = HandoffRenderer(meshes=False)
    path = renderer.film_strip(handover(), tmp_path / "strip.png", count=3)
    picture = imread(path)[..., :3]
    height, width = picture.shape[:2]
    assert width == 3 * height * 4 // 3
    first, last = picture[:, : width // 3], picture[:, -width // 3 :]
    assert np.abs(first - last).max() > 0.3
    orange = [np.nanmax(hue_map(part) @ hue(palette.CUBE)) for part in (first, last)]
    assert min(orange) > 0.99


def hue_map(picture: np.ndarray) -> np.ndarray:
    return picture / np.linalg.norm(picture, axis=-1, keepdims=True).clip(1e-6)


def test_paths_are_drawn_where_things_went() -> None:
    events = handover()
    axes = Figure().subplots()
    HandoffRenderer().draw_paths(axes, events)
    lines = {line.get_label(): line for line in axes.lines}
    for number, arm in enumerate(("left", "right")):
        line = lines[f"{arm} hand"]
        np.testing.assert_allclose(line.get_xydata(), events["hand_position"][:, number, :2])
        assert to_rgb(line.get_color()) == palette.ARMS[arm]
    (cube,) = [part for part in axes.collections if isinstance(part, LineCollection)]
    np.testing.assert_allclose(
        [segment[0] for segment in cube.get_segments()], events["cube_position"][:-1, :2]
    )
    np.testing.assert_allclose(cube.get_array(), 0.1 * np.arange(1, 61))
    np.testing.assert_allclose(lines["goal"].get_xydata(), [GOAL[:2]])
    radii = {round(patch.get_radius(), 3) for patch in axes.patches if hasattr(patch, "get_radius")}
    assert {SUCCESS_RADIUS, 0.76} <= radii


def kept(folder: Path) -> Path:
    """A run folder that kept the events of episode 3."""
    events = {name: values[:4] for name, values in handover().items()}
    RunFolder(folder).save_trace(3, events)
    return folder


@needs_opengl
def test_pictures_of_a_run_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(kept(tmp_path)), "--seconds", "0.2"]) == 0
    names = ("episode-3.mp4", "episode-3.gif", "episode-3-film-strip.png", "episode-3-paths.png")
    out = capsys.readouterr().out
    for name in names:
        assert (tmp_path / name).stat().st_size > 1000
        assert f"{name}\n" in out
    assert main([str(tmp_path), "--from", "99"]) == 1
    assert "--from 99 is later" in capsys.readouterr().err


def test_episodes_that_were_not_kept_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(kept(tmp_path)), "--episodes", "3", "7"]) != 0
    error = capsys.readouterr().err
    assert "no events of episode 7; it kept: 3" in error
    assert "--video-episodes" in error
    assert not list(tmp_path.glob("episode-*.mp4"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "is no run that codi franka-pictures draws: its episodes have no cube_position"),
        (["--seconds", "nan"], "--seconds: must be a positive number"),
        (["--episodes", "-1"], "--episodes: must be a whole number of at least 0"),
        (["--frames", "3"], "unknown option --frames; did you mean --"),
    ],
)
def test_a_run_of_another_task_and_other_mistakes_are_messages(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    RunFolder(tmp_path).save_trace(0, {"position": np.zeros((3, 2, 2)), "goal": np.zeros((3, 3))})
    assert main([str(tmp_path), *arguments]) == 2
    assert f"error: {message}" in capsys.readouterr().err.replace(f"'{tmp_path}' ", "")
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "there is no run folder" in capsys.readouterr().err
