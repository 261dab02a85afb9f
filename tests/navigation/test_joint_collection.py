"""Joint demonstrations of the corridor: who goes first, who waits, and what is recorded."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from codi_core.cli.collect import main as collect
from codi_core.data import DemonstrationDataset
from codi_core.errors import UsageError
from codi_core.evaluation.recorder import state_values
from codi_core.policies import observation_feature
from codi_core.resources import Resources
from codi_core.tasks import EpisodeKey
from codi_core.testing import check_demonstrator
from codi_navigation.collection.behaviours import DRAWS
from codi_navigation.collection.crossings import CROSSINGS, Crossings
from codi_navigation.collection.joint_demonstrator import CorridorJointDemonstrator
from codi_navigation.collection.recorder import Demonstration, Recorder
from codi_navigation.collection.script import BEGINNING
from codi_navigation.collection.settings import JointSettings
from codi_navigation.collection.two_robots import TwoRobots
from codi_navigation.maps.shapes import Maps, signed_distance
from codi_navigation.scenarios.corridor import Corridor, CorridorOptions
from codi_navigation.simulation.contacts import drive
from codi_navigation.task import CorridorTask

OPTIONS = CorridorOptions(agents=2)
CALM = JointSettings(steps=150, noise=(0.0, 0.0), begins=0.0)


def script(count: int, settings: JointSettings, options: CorridorOptions = OPTIONS) -> TwoRobots:
    generators = [np.random.default_rng([7, number]) for number in range(count)]
    return TwoRobots(generators, options, settings)


def uniform(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5))


@attrs.define
class Watched:
    """What a calm batch did: (T, n, ...)."""

    script: TwoRobots
    position: Tensor
    goal: Tensor
    waits: Tensor
    first: Tensor


@pytest.fixture(scope="module")
def calm() -> Watched:
    made, count = script(40, CALM), 40
    state = made.start(uniform(count, 2, BEGINNING))
    seen = []
    for _ in range(CALM.steps):
        commands = made.act(state, torch.ones(count, 2, DRAWS))
        seen.append((state.position, state.routes.goal, made.waits, made.first))
        state = made.follow(drive(state, made.team, commands), torch.zeros(count))
    return Watched(made, *(torch.stack(values) for values in zip(*seen, strict=True)))


# -- what the robots do -------------------------------------------------------------------------


def test_undisturbed_robots_always_change_sides_in_time(calm: Watched) -> None:
    notes = calm.script.notes()
    assert notes["success"].all()
    assert (notes["contacts"] == 0).all()
    assert (notes["crossings"] >= 1).all()
    assert (calm.script.crossing >= 1).all()  # they are on the way back
    # Two robots one after the other take less than twice the time of one.
    assert 4 < notes["completion_time_s"].mean() < 9


def test_never_are_both_in_the_passage(calm: Watched) -> None:
    inside = signed_distance(calm.position, calm.script.passage.unsqueeze(1)) < 0
    assert inside.any(0).any(0).all()
    assert not inside.all(-1).any()


def test_who_goes_first_is_through_before_the_other_one_enters(calm: Watched) -> None:
    inside = signed_distance(calm.position, calm.script.passage.unsqueeze(1)) < 0
    for world in range(inside.shape[1]):
        entered = [int(inside[:, world, robot].nonzero()[0]) for robot in (0, 1)]
        first = int(calm.first[0, world])
        assert entered[first] < entered[1 - first]
        assert not calm.waits[:, world, first][: entered[first]].any()
        waited = calm.waits[:, world, 1 - first][: entered[1 - first]]
        assert waited[: entered[first]].all()
        assert not waited[-1]


def test_who_waits_is_beside_the_other_ones_way(calm: Watched) -> None:
    time, world, robot = calm.waits[:-1].nonzero().T
    rest = (calm.position[1:] - calm.position[:-1]).norm(dim=-1)[time, world, robot] < 1e-3
    assert rest.sum() > 200
    time, world, robot = time[rest], world[rest], robot[rest]
    place = calm.position[time, world, robot]
    goal = calm.goal[time, world, 1 - robot]
    assert (place[:, 1] * goal[:, 1] < 0).all()
    assert place[:, 1].abs().min() > 0.55
    assert (place[:, 0] * goal[:, 0] > 0).all()  # in the other one's chamber


def test_each_is_as_likely_to_go_first_unless_one_is_there_already() -> None:
    count = 400
    made = script(count, attrs.evolve(CALM, start_anywhere=0.7))
    state = made.start(uniform(count, 2, BEGINNING))
    at = signed_distance(state.position, made.passage.unsqueeze(1)) < 0.6
    only, either = at[:, 0] != at[:, 1], at[:, 0] == at[:, 1]
    assert only.sum() > 40
    assert (made.first[only] == at[only].int().argmax(-1)).all()
    assert made.first[either].float().mean() == pytest.approx(0.5, abs=0.1)


def test_starts_and_goals_are_the_tasks_and_each_crossing_goes_back() -> None:
    scenario = Corridor(OPTIONS)
    asked = Crossings.drawn(scenario, [np.random.default_rng(number) for number in range(150)])
    problems = [scenario.problem(np.random.default_rng([1, number])) for number in range(400)]
    places = {
        "starts": {tuple(place) for one in problems for place in one.starts},
        "goals": {tuple(place) for one in problems for place in one.goals},
    }
    assert {tuple(place) for place in asked.starts.flatten(0, 1).numpy()} == places["starts"]
    assert {tuple(place) for place in asked.goals.flatten(0, 2).numpy()} == places["goals"]
    sides = asked.goals[..., 0].sign()
    assert (sides[:, 0] == torch.tensor([1.0, -1.0])).all()
    assert (sides[:, 1:] == -sides[:, :-1]).all()
    still = script(30, attrs.evolve(CALM, start_anywhere=0.0, moving_start=0.0))
    state = still.start(uniform(30, 2, BEGINNING))
    torch.testing.assert_close(state.position, still.asked.starts, atol=0, rtol=0)
    assert (state.velocity == 0).all()


@pytest.mark.parametrize("vehicle", ["holonomic", "unicycle"])
def test_nobody_starts_in_a_wall_or_too_fast_to_stop(vehicle: str) -> None:
    options = CorridorOptions(agents=2, vehicle=vehicle, radius=0.25)
    made = script(60, attrs.evolve(CALM, start_anywhere=1.0, moving_start=1.0), options)
    state = made.start(uniform(60, 2, BEGINNING))
    assert state.velocity.norm(dim=-1).amax() > 0.8
    assert (state.maps.distance(state.position) > 0.25).all()
    for _ in range(8):
        outcome = drive(state, made.team, torch.zeros(60, 2, 2))
        assert not outcome.obstacle_contact.any()
        state = outcome.state


def record(settings: JointSettings, count: int) -> list[Demonstration]:
    make = partial(TwoRobots, options=OPTIONS, settings=settings)
    return Recorder(make, settings).record([EpisodeKey(3, number) for number in range(count)])


@pytest.fixture(scope="module")
def demonstrations() -> list[Demonstration]:
    return record(JointSettings(), 50)


def test_the_expert_succeeds_with_all_that_varies(demonstrations: list[Demonstration]) -> None:
    assert np.mean([made.notes["success"] for made in demonstrations]) >= 0.95
    crossings = [made.notes["crossings"] for made in demonstrations]
    assert max(crossings) <= CROSSINGS
    assert np.mean(crossings) > 1.3
    speed = np.concatenate([made.frames["state.velocity"] for made in demonstrations])
    speed = np.linalg.norm(speed.reshape(-1, 2, 2), axis=-1)
    assert 0.2 < np.mean(speed < 0.1) < 0.7
    assert np.mean(speed > 0.8) > 0.2


# -- what is recorded ---------------------------------------------------------------------------


def test_frames_have_the_layout_of_recordings(demonstrations: list[Demonstration]) -> None:
    step = CorridorTask().parts(OPTIONS).environment(Resources()).reset([EpisodeKey(0, 0)])
    seen = {observation_feature(name): value.numpy() for name, value in step.observation.items()}
    sizes = {
        name: value.shape[1] for name, value in {**state_values(step.state, 1), **seen}.items()
    }
    sizes |= {"action": 4, "action.robot0": 2, "action.robot1": 2, "state.goal": 4}
    features = CorridorJointDemonstrator(OPTIONS).features
    assert {name: spec.shape[0] for name, spec in features.items()} == sizes
    assert all(len(spec.names) == spec.shape[0] for spec in features.values())
    frames = demonstrations[0].frames
    assert {name: value.shape for name, value in frames.items()} == {
        name: (200, size) for name, size in sizes.items()
    }
    both = np.concatenate((frames["action.robot0"], frames["action.robot1"]), 1)
    np.testing.assert_array_equal(frames["action"], both)


@pytest.mark.parametrize("vehicle", ["holonomic", "unicycle"])
def test_a_demonstration_depends_on_its_key_alone(vehicle: str) -> None:
    options, settings = CorridorOptions(agents=2, vehicle=vehicle), JointSettings(steps=30)
    check_demonstrator(lambda: CorridorJointDemonstrator(options, settings), 3)


def test_the_command_collects_and_draws_joint_demonstrations(tmp_path: Path) -> None:
    arguments = ["--task", "navigation-corridor", "--agents", "2", "--joint", "--episodes", "3"]
    assert collect([*arguments, "--output", str(tmp_path / "data")]) == 0
    content = json.loads((tmp_path / "data" / "collection.json").read_text())
    assert content["task_options"] == {
        "agents": 2, "length": 1.0, "radius": 0.15, "vehicle": "holonomic",
    }  # fmt: skip
    for record in content["demonstrations"]:
        time = record["completion_time_s"]
        assert record["success"] == (time is not None)
        assert time is None or 3 < time < 13
        assert record["frames"] == 200
    data = DemonstrationDataset.load(tmp_path / "data")
    assert data.arrays["action"].shape == (600, 4)
    for name in ("demonstrations.png", "crossings.png"):
        assert (tmp_path / "data" / name).stat().st_size > 5000


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--task", "navigation-corridor"], "--agents 4: .* are of 2 robots; give --agents 2"),
        (["--task", "navigation-swap"], "task 'navigation-swap' has no joint demonstrations"),
    ],
)
def test_other_teams_and_tasks_have_no_joint_demonstrations(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect([*more, "--joint", "--output", str(tmp_path / "data")]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_mixed_team_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--vehicle mixed: .* are of one kind"):
        CorridorJointDemonstrator(CorridorOptions(agents=2, vehicle="mixed"))


def test_maps_of_all_demonstrations_are_the_tasks(demonstrations: list[Demonstration]) -> None:
    expected = Maps.of([Corridor(OPTIONS).map]).obstacles
    assert torch.equal(Maps.of([demonstrations[7].map]).obstacles, expected)
