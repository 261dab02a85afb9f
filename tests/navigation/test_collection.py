import json
import math
from functools import partial

import numpy as np
import pytest
import torch

from codi_core.cli.collect import main as collect
from codi_core.data import DatasetWriter, DemonstrationDataset
from codi_core.errors import UsageError
from codi_core.tasks import EpisodeKey
from codi_core.testing import check_demonstrator
from codi_navigation.collection.behaviours import BEHAVIOURS, DRAWS, Behaviours
from codi_navigation.collection.demonstrator import NavigationDemonstrator
from codi_navigation.collection.expert import keep_off
from codi_navigation.collection.picture import write_demonstrations
from codi_navigation.collection.recorder import GROUP, Recorder
from codi_navigation.collection.settings import CollectionSettings
from codi_navigation.collection.single_robot import SingleRobot
from codi_navigation.collection.training_maps import training_problem
from codi_navigation.maps.shapes import Maps

KEYS = [EpisodeKey(3, number) for number in range(12)]


def recorder(kind, settings=None):
    settings = settings or CollectionSettings()
    return Recorder(partial(SingleRobot, kind=kind, settings=settings), settings)


@pytest.fixture(scope="module", params=["holonomic", "unicycle"])
def recorded(request):
    return request.param, recorder(request.param).record(KEYS)


def test_training_problems_can_be_solved():
    for seed in range(15):
        problem = training_problem(np.random.default_rng(seed))
        places = torch.from_numpy(np.concatenate((problem.start[None], problem.goals)))
        assert Maps.of([problem.map]).distance(places[None]).min() > problem.radius
        lengths = problem.roads.distances(problem.goals[:1])
        assert np.isfinite(lengths[0][problem.roads.free]).any()


def test_robots_get_to_their_goals_and_never_into_obstacles(recorded):
    _, demonstrations = recorded
    arrived = 0
    for made in demonstrations:
        frames = made.frames
        gap = np.linalg.norm(frames["state.goal"] - frames["state.position"], axis=-1)
        arrived += gap.min() < 0.1
        points = torch.from_numpy(frames["state.position"])[None]
        clearance = Maps.of([made.map]).distance(points) - frames["state.radius"][0, 0]
        assert clearance.min() > -1e-5
    assert arrived >= 8


def same(one, other):
    assert one.map == other.map
    return all(np.array_equal(one.frames[name], other.frames[name]) for name in one.frames)


@pytest.mark.parametrize("kind", ["holonomic", "unicycle"])
def test_a_demonstration_depends_on_its_key_alone(kind):
    check_demonstrator(lambda: NavigationDemonstrator(kind, CollectionSettings(steps=40)), 3)


def test_neither_groups_nor_seeds_nor_orders_mix():
    settings = CollectionSettings(steps=20)
    first, second = recorder("unicycle", settings).record(KEYS[:2])
    mixed = [EpisodeKey(3, GROUP + 1), KEYS[1], EpisodeKey(4, 1), KEYS[0]]
    far, again, other, zero = recorder("unicycle", settings).record(mixed)
    assert same(zero, first)
    assert same(again, second)
    assert other.map != second.map != far.map


def test_robots_stop_slow_down_and_back_away_on_the_way(recorded):
    kind, demonstrations = recorded
    speeds, progress = [], []
    for frames in (made.frames for made in demonstrations):
        step = np.diff(frames["state.position"], axis=0)
        gap = frames["state.goal"][:-1] - frames["state.position"][:-1]
        distance = np.linalg.norm(gap, axis=-1)
        away = distance > 0.5
        # Of a unicycle the first number is its speed.
        length = 2 if kind == "holonomic" else 1
        speeds.append(np.linalg.norm(frames["action"][:-1, :length], axis=-1)[away])
        progress.append(10 * ((step * gap).sum(-1) / np.maximum(distance, 1e-6))[away])
    speed, along = np.concatenate(speeds), np.concatenate(progress)
    assert np.mean(speed > 0.85) > 0.25
    assert np.mean(speed < 0.05) > 0.03
    assert np.mean((speed > 0.1) & (speed < 0.7)) > 0.1
    assert np.mean(along < -0.1) > 0.01


def test_behaviours_go_left_and_right_and_end():
    behaviours, generator = Behaviours(2000), torch.Generator().manual_seed(0)
    bearing, far = torch.zeros(2000), torch.full((2000,), 3.0)
    on_share, sides = [], []
    for _ in range(60):
        draws = torch.rand(2000, DRAWS, generator=generator)
        on, direction, speed = behaviours.advance(bearing, far, draws)
        on_share.append(on.float().mean().item())
        sides.append(torch.sin(direction[on & (speed > 0)]))
    sides = torch.cat(sides)
    left, right = ((side > 0.2).float().mean().item() for side in (sides, -sides))
    assert left == pytest.approx(right, abs=0.05)
    assert 0.2 < on_share[-1] < 0.6
    assert {"slow down", "stop", "step aside", "back away", "go round"} <= set(BEHAVIOURS)


def test_behaviours_are_chosen_by_their_shares():
    behaviours = Behaviours(5000)
    draws = torch.rand(5000, DRAWS, generator=torch.Generator().manual_seed(0))
    draws[:, 0] = 0.0  # all begin one
    on, _, speed = behaviours.advance(torch.zeros(5000), torch.full((5000,), 3.0), draws)
    assert on.all()
    # Only who stops does not move, and only who backs away drives backwards.
    assert (speed == 0).float().mean() == pytest.approx(BEHAVIOURS["stop"].share, abs=0.02)
    backs = behaviours.backs.float().mean()
    assert backs == pytest.approx(BEHAVIOURS["back away"].share, abs=0.02)


def test_at_the_goal_behaviours_lead_anywhere():
    behaviours, bearing = Behaviours(4000), torch.zeros(4000)
    draws = torch.rand(4000, DRAWS, generator=torch.Generator().manual_seed(0))
    on, direction, speed = behaviours.advance(bearing, bearing, draws)
    angles = torch.remainder(direction[on & (speed > 0)], 2 * math.pi)
    assert torch.histc(angles, 4, 0, 2 * math.pi).min() > 0.15 * len(angles)


def test_what_leads_into_an_obstacle_is_slowed_down_and_the_rest_is_kept():
    velocity = torch.tensor([[0.6, 0.8], [0.6, -0.8]])
    gaps, away = torch.tensor([[0.07], [0.07]]), torch.tensor([[[0.0, -1.0]], [[0.0, -1.0]]])
    # 4 times the 5 cm beyond the least gap.
    assert keep_off(velocity, gaps, away).flatten().tolist() == pytest.approx([0.6, 0.2, 0.6, -0.8])


def test_a_data_set_has_what_the_policy_reads_and_restores_the_state(tmp_path):
    demonstrator = NavigationDemonstrator("unicycle", CollectionSettings(steps=20))
    with DatasetWriter(
        tmp_path / "data", demonstrator.features, 10, demonstrator.robot_type
    ) as writer:
        records = demonstrator.collect(KEYS[:3], writer)
    assert [record["frames"] for record in records] == [20, 20, 20]
    dataset = DemonstrationDataset.load(tmp_path / "data")
    assert dataset.arrays["observation.environment_state"].shape == (60, 31)
    assert dataset.arrays["state.episode"][20].tolist() == [3, 1]
    (again,) = recorder("unicycle", CollectionSettings(steps=20)).record(KEYS[:1])
    assert np.array_equal(dataset.arrays["action"][:20], again.frames["action"])


def test_the_command_offers_what_demonstrations_depend_on(tmp_path, capsys):
    task = ["--task", "navigation-swap"]
    data = ["--episodes", "2", "--output", str(tmp_path / "data")]
    assert collect([*task, *data, "--vehicle", "unicycle"]) == 0
    content = json.loads((tmp_path / "data" / "collection.json").read_text())
    assert content["task_options"] == {"vehicle": "unicycle"}
    dataset = DemonstrationDataset.load(tmp_path / "data")
    (expected,) = recorder("unicycle").record([EpisodeKey(0, 1)])
    assert np.array_equal(dataset.arrays["action"][110:], expected.frames["action"])
    for refused in (["--vehicle", "mixed"], ["--agents", "4"], ["--radius", "0.2"]):
        assert collect([*task, *data, *refused]) == 2
        assert refused[0] in capsys.readouterr().err


def test_a_mixed_team_is_no_kind_to_learn_from():
    with pytest.raises(UsageError, match="each kind learns from its own demonstrations"):
        NavigationDemonstrator("mixed")


def test_demonstrations_are_drawn(tmp_path):
    keys = [EpisodeKey(0, number) for number in range(2)]
    demonstrations = recorder("holonomic", CollectionSettings(steps=20)).record(keys)
    path = write_demonstrations(tmp_path / "demonstrations.png", demonstrations)
    assert path.stat().st_size > 5000
