"""The scripted expert in physics: it picks, places, yields and recovers."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from codi_core.tasks import EpisodeKey
from codi_franka.collection.expert import Phase, around_the_base
from codi_franka.collection.recorder import Recorder
from codi_franka.collection.settings import CollectionSettings
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.robot.reach import OUTER_RADIUS
from codi_franka.state import FrankaState
from codi_franka.workspace import graspable

CALM = CollectionSettings(
    steps=200, jump_probability=0.0, jump_anywhere=0.0, action_noise=(0.0, 0.0), start_spread=0.1
)


def keys(seed: int, numbers: range) -> list[EpisodeKey]:
    return [EpisodeKey(seed, number) for number in numbers]


@attrs.define
class Watched:
    """What a batch did, step by step: tensors (T, n, ...)."""

    phase: Tensor
    goal: Tensor
    cube: Tensor

    def first_place(self) -> tuple[Tensor, Tensor]:
        """When each world first let the cube go (T where it never did), and how far off [m]."""
        steps, worlds = self.phase.shape
        let_go = (self.phase[1:] == Phase.RETREAT) & (self.phase[:-1] == Phase.OPEN)
        happened = let_go.any(0)
        at = torch.where(happened, let_go.float().argmax(0), steps - 2)
        rows = torch.arange(worlds)
        settled = (at + 3).clamp_max(steps - 1)
        error = (self.cube[settled, rows, :2] - self.goal[at, rows]).norm(dim=-1)
        return torch.where(happened, at, steps), torch.where(happened, error, torch.inf)


def watch(recorder: Recorder, jumps: dict[int, Tensor] | None = None) -> Watched:
    """Run; ``jumps`` puts all cubes to places (2,) of the base frame at given steps."""
    phases, goals, cubes = [], [], []
    base = torch.tensor([-0.65, 0.0])
    for step in recorder.run():
        state = recorder.simulator.state()
        phases.append(recorder.script.expert.memory.phase[: recorder.count].clone())
        goals.append(recorder.script.expert.memory.goal[: recorder.count].clone())
        cubes.append(state.cube_position - torch.tensor([*base, 0.0]))
        if jumps and step in jumps:
            put_all_cubes(recorder, state, jumps[step] + base)
    return Watched(torch.stack(phases), torch.stack(goals), torch.stack(cubes))


def put_all_cubes(recorder: Recorder, state: FrankaState, xy: Tensor) -> None:
    count = recorder.count
    moved = attrs.evolve(
        state,
        cube_position=torch.tensor([*xy, 0.025]).expand(count, 3),
        cube_quaternion=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4),
        cube_velocity=torch.zeros(count, 6),
    )
    recorder.simulator.place_cube(moved, torch.arange(count))


@pytest.fixture(scope="module")
def picks() -> tuple[Recorder, Watched]:
    recorder = Recorder(keys(3, range(0, 96, 2)), 1, CALM)
    return recorder, watch(recorder)


def test_places_the_cube_within_3_cm(picks: tuple[Recorder, Watched]) -> None:
    when, error = picks[1].first_place()
    assert (error < 0.03).float().mean() >= 0.95
    assert error[error < 0.03].median() < 0.012
    assert when[error < 0.03].float().median() < 120


def test_the_cube_is_carried_above_the_table(picks: tuple[Recorder, Watched]) -> None:
    lifted = picks[1].cube[..., 2].amax(0)
    assert (lifted > 0.06).float().mean() >= 0.95


def test_it_keeps_within_its_limits(picks: tuple[Recorder, Watched]) -> None:
    actions = torch.stack(
        [torch.from_numpy(demo["action"]) for demo in picks[0].demonstrations() if demo is not None]
    )
    settings = picks[0].script.expert.settings
    assert len(actions) == picks[0].count
    assert actions[..., :3].norm(dim=-1).max() <= settings.linear_limit + 1e-5
    assert actions[..., 3:6].norm(dim=-1).max() <= settings.angular_limit + 1e-5
    assert actions[..., 6].unique().tolist() == pytest.approx([0.0, MAX_WIDTH])


def test_goals_are_where_the_arm_can_place(picks: tuple[Recorder, Watched]) -> None:
    assert graspable(picks[1].goal.flatten(0, 1), OUTER_RADIUS).all()


def test_yields_never_close_the_gripper_and_come_near_the_cube() -> None:
    recorder = Recorder(keys(3, range(1, 33, 2)), 1, attrs.evolve(CALM, steps=120))
    watched = watch(recorder)
    for demo in recorder.demonstrations():
        assert demo is not None
        np.testing.assert_allclose(demo["action"][:, 6], MAX_WIDTH, rtol=1e-6)
    phases = set(watched.phase.unique().tolist())
    assert phases == {Phase.APPROACH, Phase.HOMING, Phase.IDLE}
    both = (watched.phase == Phase.APPROACH).any(0) & (watched.phase == Phase.IDLE).any(0)
    assert both.float().mean() > 0.9
    moved = (watched.cube[-1] - watched.cube[0]).norm(dim=-1)
    assert (moved < 0.02).float().mean() >= 0.9


@pytest.mark.parametrize("when", [12, 28])
def test_recovers_when_the_cube_jumps(when: int) -> None:
    """On the way to the cube, or with it in the hand: it turns and picks it where it is now."""
    recorder = Recorder(keys(5, range(0, 48, 2)), 1, attrs.evolve(CALM, steps=170))
    there = torch.tensor([0.42, -0.18])
    watched = watch(recorder, {when: there})
    assert ((watched.cube[when + 1, :, :2] - there).norm(dim=-1) < 0.03).float().mean() > 0.9
    after = watched.cube[when + 2 :]
    lifted = (after[..., 2] > 0.06).any(0)
    assert lifted.float().mean() >= 0.95
    later = Watched(watched.phase[when:], watched.goal[when:], watched.cube[when:])
    _, error = later.first_place()
    assert (error < 0.03).float().mean() >= 0.9


def test_a_cube_out_of_reach_is_left_alone() -> None:
    recorder = Recorder(keys(5, range(0, 16, 2)), 1, attrs.evolve(CALM, steps=90))
    watched = watch(recorder, {step: torch.tensor([1.2, 0.3]) for step in (1, 30, 60)})
    assert (watched.phase[40:] != Phase.CARRY).all()
    assert (watched.phase[-1] == Phase.IDLE).float().mean() >= 0.8


def test_paths_turn_about_the_base_and_end_at_the_target() -> None:
    behind = torch.tensor([[-0.2, 0.5, 0.2]])
    ahead = torch.tensor([[0.2, -0.5, 0.025]])
    waypoint = around_the_base(behind, ahead)
    assert waypoint[0, :2].norm() >= 0.3
    assert waypoint[0, 2] >= 0.12
    turned = torch.atan2(waypoint[0, 1], waypoint[0, 0]) - torch.atan2(behind[0, 1], behind[0, 0])
    assert turned.abs() == pytest.approx(0.6, abs=1e-5)
    near = ahead + torch.tensor([[0.1, 0.0, 0.0]])
    torch.testing.assert_close(around_the_base(near, ahead), ahead)
