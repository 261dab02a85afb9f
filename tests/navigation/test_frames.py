"""Recorded frames become what was known, robots hold still, and joint data become a policy."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from codi_core import experiments
from codi_core.cli.train import main as train
from codi_core.data import DatasetWriter
from codi_core.errors import CheckpointError, DatasetError
from codi_core.evaluation.recorder import state_values
from codi_core.policies import observation_feature
from codi_core.resources import Resources
from codi_core.tasks import EpisodeKey
from codi_core.tasks.task import Restore
from codi_navigation.collection.joint_demonstrator import CorridorJointDemonstrator
from codi_navigation.collection.recorder import Demonstration, Recorder
from codi_navigation.collection.settings import JointSettings
from codi_navigation.collection.two_robots import TwoRobots
from codi_navigation.observation import observe
from codi_navigation.prediction.predictor import NavigationPredictor
from codi_navigation.routing import RoutesOnMap, plan_routes
from codi_navigation.scenarios.corridor import Corridor, CorridorOptions
from codi_navigation.scenarios.swap import SwapOptions
from codi_navigation.simulation.contacts import drive
from codi_navigation.state import NavigationState
from codi_navigation.task import (
    SHIPPED_CHECKPOINTS,
    CorridorTask,
    NavigationTask,
    SwapTask,
    WarehouseTask,
)
from codi_navigation.vehicles import Team
from tests.navigation.worlds import random_state

OPTIONS = CorridorOptions(agents=2)
TEAM = Team.of("holonomic", 2)
SETTINGS = JointSettings(steps=60, noise=(0.0, 0.0))


@pytest.fixture(scope="module")
def demonstrations() -> list[Demonstration]:
    make = partial(TwoRobots, options=OPTIONS, settings=SETTINGS)
    return Recorder(make, SETTINGS).record([EpisodeKey(2, number) for number in range(12)])


def restorer(options: CorridorOptions = OPTIONS) -> Restore:
    restore = CorridorTask().parts(options).restore
    assert restore is not None
    return restore


def frames_of(demonstrations: list[Demonstration], rows: slice) -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(np.concatenate([made.frames[name][rows] for made in demonstrations]))
        for name in demonstrations[0].frames
    }


def assert_same(one: NavigationState, other: NavigationState) -> None:
    for name in ("position", "heading", "velocity", "radius"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=0, rtol=0)
    for name in ("obstacles", "passages", "roundabouts"):
        assert torch.equal(getattr(one.maps, name), getattr(other.maps, name))
    for name in ("goal", "corner", "cell", "open"):
        assert torch.equal(getattr(one.routes, name), getattr(other.routes, name))
    fields = one.routes.field, other.routes.field
    assert (fields[0] is None) == (fields[1] is None)
    if fields[0] is not None and fields[1] is not None:
        torch.testing.assert_close(fields[0], fields[1], atol=0, rtol=0)


# -- restored frames ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (CorridorTask(), OPTIONS),
        (CorridorTask(), CorridorOptions(agents=4, vehicle="mixed", length=0.5, radius=0.1)),
        (SwapTask(), SwapOptions(agents=3)),
    ],
)
def test_recorded_frames_restore_what_the_environment_had(
    task: NavigationTask, options: CorridorOptions | SwapOptions
) -> None:
    parts = task.parts(options)
    environment = parts.environment(Resources())
    keys = [EpisodeKey(5, 0), EpisodeKey(5, 3)]
    environment.reset(keys)
    step = environment.step(tuple(torch.full((2, 2), 0.5) for _ in parts.agents))
    recorded = {name: torch.from_numpy(v) for name, v in state_values(step.state, 2).items()}
    seen = {observation_feature(name): value for name, value in step.observation.items()}
    assert "state.goal" not in recorded
    episode = torch.tensor([[key.seed, key.episode] for key in keys])
    assert parts.restore is not None
    state, observation = parts.restore({**recorded, **seen, "episode": episode})
    assert_same(state, step.state)
    assert observation.keys() == step.observation.keys()
    for name, value in observation.items():
        assert torch.equal(value, step.observation[name])


def test_joint_demonstrations_restore_what_was_known(demonstrations: list[Demonstration]) -> None:
    frames = frames_of(demonstrations, slice(0, 60, 7))
    state, observation = restorer()(frames)
    torch.testing.assert_close(state.position.flatten(1), frames["state.position"], atol=0, rtol=0)
    torch.testing.assert_close(state.routes.goal.flatten(1), frames["state.goal"], atol=0, rtol=0)
    assert (state.radius == torch.tensor(0.15)).all()
    for name, value in observe(state, TEAM).items():
        assert torch.equal(observation[name], frames[observation_feature(name)])
        torch.testing.assert_close(observation[name], value, atol=1e-5, rtol=0)


def test_predictions_from_restored_frames_foresee_the_demonstration(
    demonstrations: list[Demonstration],
) -> None:
    ahead = 16
    now = frames_of(demonstrations, slice(10, 11))
    actions = np.stack([made.frames["action"][10 : 10 + ahead] for made in demonstrations])
    chunks = torch.from_numpy(actions).unsqueeze(1).split(2, -1)
    path = NavigationPredictor(TEAM).predict(restorer()(now)[0], chunks).trajectory.position
    after = frames_of(demonstrations, slice(10 + ahead, 11 + ahead))["state.position"]
    error = (path[:, 0, -1].flatten(1) - after).abs().amax(-1)
    assert (after - now["state.position"]).abs().amax() > 0.8
    assert error.median() < 1e-5  # what is left is contacts


def test_frames_that_do_not_fit_the_task_are_refused(demonstrations: list[Demonstration]) -> None:
    frames = frames_of(demonstrations, slice(0, 60, 5))
    without = {name: value for name, value in frames.items() if name != "state.goal"}
    with pytest.raises(DatasetError, match=r"have no 'state\.goal'.*--joint"):
        restorer()(without)
    with pytest.raises(DatasetError, match=r"no 'observation\.robot2\.state'"):
        restorer(CorridorOptions(agents=3))(frames)
    with pytest.raises(DatasetError, match=r"radius 0\.15 m, the task's have 0\.1 m: .*--radius"):
        restorer(CorridorOptions(agents=2, radius=0.1))(frames)
    with pytest.raises(DatasetError, match="inside the task's obstacles"):
        restorer(CorridorOptions(agents=2, length=0.3))(frames)


def test_maps_that_differ_by_episode_are_not_restored() -> None:
    assert WarehouseTask().parts(WarehouseTask.Options()).restore is None


def test_routes_on_one_map_are_those_that_are_planned() -> None:
    scenario = Corridor(OPTIONS)
    routes = RoutesOnMap(scenario.map, 0.15)
    generators = [np.random.default_rng(number) for number in range(6)]
    goals = np.stack([scenario.problem(generator).goals for generator in generators])
    routes.to(torch.from_numpy(goals[:2]))
    found = routes.to(torch.from_numpy(goals))
    planned = plan_routes([scenario.map] * 6, goals, np.full((6, 2), 0.15, np.float32))
    for name in ("goal", "field", "corner", "cell", "open"):
        assert torch.equal(getattr(found, name), getattr(planned, name)), name


def test_robots_apart_and_together_again_are_the_same() -> None:
    state = random_state(3, robots=3, worlds=2)
    alone = state.alone()
    assert (alone.worlds, alone.robots) == (6, 1)
    assert torch.equal(alone.position[4, 0], state.position[1, 1])
    distance = state.routes.distance(state.position).flatten()
    torch.testing.assert_close(alone.routes.distance(alone.position).squeeze(1), distance)
    assert torch.equal(alone.maps.distance(alone.position).flatten(),
                       state.maps.distance(state.position).flatten())  # fmt: skip
    again = alone.routes.together(3)
    for name in ("goal", "field", "corner", "cell", "open"):
        assert torch.equal(getattr(again, name), getattr(state.routes, name)), name


# -- what methods ask for -----------------------------------------------------------------------


@pytest.mark.parametrize("vehicle", ["holonomic", "unicycle"])
def test_robots_that_hold_brake_and_stay(vehicle: str) -> None:
    task = CorridorTask()
    hold = task.parts(CorridorOptions(agents=2, vehicle=vehicle)).hold
    assert hold is not None
    team, state = Team.of(vehicle, 6), random_state(4, vehicle=vehicle, obstacles=())
    state = attrs.evolve(state, position=3 * state.position)  # nobody meets
    assert state.velocity.norm(dim=-1).amax() > 0.4
    places = []
    for _ in range(8):
        actions = hold(state)
        assert [action.shape for action in actions] == [(1, 2)] * 6
        state = drive(state, team, torch.stack(actions, 1)).state
        places.append(state.position)
    assert (state.velocity == 0).all()
    assert torch.equal(places[4], places[-1])


def test_variants_of_the_cost_leave_out_what_robots_owe_to_one_another() -> None:
    def variants(task: NavigationTask) -> dict[str, dict[str, float]]:
        return {**task.parts(task.Options(agents=4)).cost_variants}  # type: ignore[arg-type]

    alone = {"navigation-goal": 1.0}
    for task, weight in ((CorridorTask(), 40.0), (WarehouseTask(), 120.0)):
        walls = {"navigation-obstacles": weight}
        assert variants(task) == {"goal": alone, "independent": {**alone, **walls}}
    assert variants(SwapTask()) == {"goal": alone, "independent": alone}


def test_only_two_robots_of_a_kind_in_the_corridor_have_a_joint_policy() -> None:
    def offers(task: NavigationTask, agents: int, vehicle: str = "holonomic") -> list[str]:
        return list(task.parts(task.Options(agents=agents, vehicle=vehicle)).policies)

    assert offers(CorridorTask(), 2) == ["single-agent", "joint"]
    assert offers(CorridorTask(), 2, "unicycle") == ["single-agent", "joint"]
    for task, agents, vehicle in (
        (CorridorTask(), 4, "holonomic"),
        (CorridorTask(), 2, "mixed"),
        (SwapTask(), 2, "holonomic"),
        (WarehouseTask(), 2, "holonomic"),
    ):
        assert offers(task, agents, vehicle) == ["single-agent"]


def test_joint_demonstrations_train_a_joint_policy(tmp_path: Path) -> None:
    made = CorridorJointDemonstrator(OPTIONS, attrs.evolve(SETTINGS, steps=20))
    with DatasetWriter(tmp_path / "data", made.features, 10, made.robot_type) as writer:
        made.collect([EpisodeKey(0, 0), EpisodeKey(0, 1)], writer)
    small = ["--steps", "2", "--batch-size", "8", "--network", "mlp", "--width", "16"]
    assert train([str(tmp_path / "data"), "--output", str(tmp_path / "run"), *small]) == 0
    trained = tmp_path / "run" / "checkpoint.safetensors"
    task = ("navigation-corridor", {"agents": 2})
    product = experiments.prepare(*task, policy="joint", checkpoint=trained).product()
    assert [factor.agents for factor in product.factors] == [(0, 1)]
    assert product.size == 16 * 4
    step = CorridorTask().parts(OPTIONS).environment(Resources()).reset([EpisodeKey(0, 0)])
    history = {name: value.unsqueeze(1) for name, value in step.observation.items()}
    denoised = product.denoiser(history)(torch.randn(1, product.size), torch.tensor(1.0))
    left, right = product.decode(denoised)
    assert left.shape == right.shape == (1, 16, 2)
    assert denoised.isfinite().all()
    single = SHIPPED_CHECKPOINTS / "holonomic.safetensors"
    with pytest.raises(CheckpointError, match="action names"):
        experiments.prepare(*task, policy="joint", checkpoint=single).product()
