import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from codi_core.errors import CodiError
from codi_core.evaluation.captions import Caption
from codi_core.evaluation.run_folder import RunFolder
from codi_core.tasks import EpisodeKey
from codi_navigation.rendering import palette
from codi_navigation.rendering.command import EVENTS, draw_episode, draw_run, main
from codi_navigation.rendering.remark import remark
from codi_navigation.rendering.renderer import NavigationRenderer
from codi_navigation.rendering.space_time import draw_space_time
from codi_navigation.rendering.top_view import TopView
from codi_navigation.scenarios.corridor import Corridor, CorridorOptions
from codi_navigation.simulation.environment import NavigationEnvironment
from codi_navigation.vehicles import Team


@pytest.fixture(scope="module")
def trace():
    options = CorridorOptions(vehicle="mixed")
    environment = NavigationEnvironment(Corridor(options), Team.of("mixed", 4), options)
    actions = tuple(torch.full((1, 2), 0.5) for _ in range(4))
    steps = [environment.reset([EpisodeKey(0, 0)]), *(environment.step(actions) for _ in range(8))]
    return {name: np.stack([step.events[name][0] for step in steps]) for name in steps[0].events}


def test_a_frame_shows_robots_where_they_are_and_obstacles_where_they_stand(trace):
    view = TopView(trace, 400)
    frames = list(view.frames())
    assert len(frames) == 9
    assert frames[0].shape == frames[-1].shape

    def colour_at(frame, x, y):
        across, down = (part / 2 for part in view._pixel(x, y))
        return frame[round(down), round(across)].tolist()

    # Beside the heading's tick of a unicycle, and away from a passage's edge.
    x, y = trace["position"][0, 0]
    assert colour_at(frames[0], x, y) == pytest.approx(palette.robot_colour(0), abs=3)
    assert colour_at(frames[0], 0.0, 1.0) == pytest.approx(palette.OBSTACLE, abs=3)
    assert colour_at(frames[0], 0.0, 0.0) == pytest.approx(palette.PASSAGE, abs=3)


def test_a_single_picture_is_the_frame_of_its_step(trace):
    frames = list(NavigationRenderer(300).frames(trace))
    assert np.array_equal(NavigationRenderer(300).picture(trace, 5), frames[5])


def test_paths_end_where_robots_end(trace):
    axes = Figure().subplots()
    NavigationRenderer().draw_paths(axes, trace)
    for index, line in enumerate(axes.lines):
        assert line.get_xydata()[-1] == pytest.approx(trace["position"][-1, index])


def test_the_space_time_plot_shows_places_along_the_passage(trace):
    axes = Figure().subplots()
    draw_space_time(axes, trace)
    for index, line in enumerate(axes.lines):
        # The corridor's passage lies along the world's x axis.
        assert line.get_ydata() == pytest.approx(trace["position"][:, index, 0])
        assert line.get_xdata()[-1] == pytest.approx(0.8)


def test_a_map_without_passage_has_no_space_time_plot(trace):
    without = {**trace, "passages": trace["passages"][:, :0]}
    with pytest.raises(ValueError, match="no passage"):
        draw_space_time(Figure().subplots(), without)


def test_an_episode_is_drawn_into_a_folder(trace, tmp_path):
    written = draw_episode(
        Caption("corridor", None, trace, 10.0, remark), tmp_path, "episode-0", 160
    )
    assert [path.name for path in written] == [
        "episode-0.mp4",
        "episode-0.gif",
        "episode-0.png",
        "episode-0-space-time.png",
    ]
    assert all(path.stat().st_size > 1000 for path in written)


def test_episodes_whose_events_were_not_kept_are_named(tmp_path):
    with pytest.raises(CodiError, match="has no events of episode 7; it kept: none"):
        draw_run(tmp_path, [7], 160)


def test_a_run_of_another_task_and_other_mistakes_are_messages(tmp_path, capsys):
    RunFolder(tmp_path).save_trace(0, {"cube_position": np.zeros((3, 3))})
    for arguments, message in (
        ([], "is no run that codi navigation-pictures draws: its episodes have no extent, goal"),
        (["--size", "1"], "--size: must be a whole number of at least 64"),
        (["--episodes", "x"], "--episodes: must be a whole number"),
    ):
        assert main([str(tmp_path), *arguments]) == 2
        assert message in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "there is no run folder" in capsys.readouterr().err


def test_the_events_of_a_run_can_be_drawn(trace, tmp_path):
    RunFolder(tmp_path).save_trace(0, trace)
    assert RunFolder(tmp_path).drawable(EVENTS, "x").keys() == {0}
    assert len(draw_run(tmp_path, None, 64)) == 4


def test_a_caption_says_how_far_the_last_robot_is(trace):
    farthest = np.linalg.norm(trace["goal"][4] - trace["position"][4], axis=-1).max()
    assert remark(trace, 4) == f"farthest robot {farthest:.1f} m from its goal"
