"""A box of another shape than the cube: what plans know of it."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from codi_core.errors import UsageError
from codi_core.resources import Resources
from codi_core.tasks import EpisodeKey
from codi_franka.geometry import quaternion_exp
from codi_franka.handoff.finish import delivered
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.model import build_model
from codi_franka.physics.nominal import build_nominal_model
from codi_franka.prediction.kinematic import KinematicPredictor
from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.cell import ARMS, CUBE_MASS, CUBE_SIZE
from codi_franka.robot.frames import BaseFrames
from codi_franka.state import holding, tcp_in_world
from codi_franka.task import HandoffTask
from franka.scenes import OPEN, SHUT, chunk, state

TALL = HandoffOptions(box=(50, 60, 90)).handed
STAY = (0.0, 0.0, 0.0)


def test_the_cube_is_what_it_was() -> None:
    assert CUBE.size == (CUBE_SIZE,) * 3 and CUBE.mass == pytest.approx(CUBE_MASS)
    assert (CUBE.grip, CUBE.standing) == (CUBE_SIZE, CUBE_SIZE / 2)
    assert CUBE.holding() == pytest.approx((0.03, 0.06))
    assert CUBE.released == pytest.approx(0.065)
    turned = quaternion_exp(torch.randn(50, 3))
    assert CUBE.lying(turned).tolist() == pytest.approx([0.025] * 50)
    assert HandoffOptions().handed is CUBE
    assert HandoffOptions().target == (0.45, 0.0, 0.025)


def test_a_box_lies_on_the_face_that_is_nearest_to_the_table() -> None:
    quarter = torch.pi / 2
    turns = torch.tensor([[0, 0, 1.0], [quarter, 0, 0], [0.2, quarter, 0.1], [0.3, 0.2, 0.0]])
    heights = TALL.lying(quaternion_exp(turns))
    assert heights.tolist() == pytest.approx([0.045, 0.03, 0.025, 0.045])
    assert HandoffOptions(box=(50, 60, 90)).target == pytest.approx((0.45, 0.0, 0.045))


@pytest.mark.parametrize(
    ("edges", "grip", "most"),
    [((50, 60, 90), 0.06, 0.07), ((90, 50, 50), 0.05, 0.06), ((70, 75, 40), 0.075, 0.0775)],
)
def test_hands_hold_it_between_its_narrowest_edge_and_where_they_are_open(edges, grip, most):
    box = HandoffOptions(box=edges).handed
    assert box.grip == pytest.approx(grip)
    assert box.holding() == pytest.approx((0.6 * min(edges) / 1000, most))
    assert box.holding()[1] <= box.released < OPEN
    assert box.mass == pytest.approx(CUBE_MASS * np.prod(edges) / 50**3)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((90, 90, 50), "--box: no hand can take a box of 90 x 90 x 50 mm"),
        ((50, 50, 0), "--box: a box's edges are above 0"),
        ((50, 50, 400), "up to 300 mm"),
    ],
)
def test_boxes_that_can_not_be_handed_over_are_told(edges, message) -> None:
    with pytest.raises(UsageError, match=message):
        HandoffOptions(box=edges)


def holds(width: float, box: Box) -> bool:
    at = (-0.2, 0.0, 0.2)
    start = state(cube=at, hands=(at, None), width=width)
    return bool(holding(start, tcp_in_world(start, BaseFrames.of(ARMS)), box=box)[0, 0])


def test_a_hand_at_a_wide_edge_holds_the_box_and_not_the_cube() -> None:
    assert holds(0.065, TALL) and not holds(0.065, CUBE)
    assert not holds(0.079, TALL)


def test_the_kinematic_predictor_carries_it_and_puts_it_on_the_table() -> None:
    at, predictor = (-0.2, 0.0, 0.2), KinematicPredictor(ARMS, box=TALL)
    start = state(cube=at, hands=(at, None), width=0.06)
    start.gripper_width[:, 1] = OPEN
    start.goal[:, 2] = TALL.standing
    carry, other = chunk((10, (0.0, 0.0, 0.1), SHUT)), chunk((10, STAY, OPEN))
    drop = chunk((10, STAY, OPEN))
    chunks = tuple(part[None, None] for part in (carry, other))
    path = predictor.predict(start, chunks).trajectory.cube_position[0, 0]
    assert path[-1, 2] > 0.25
    chunks = tuple(part[None, None] for part in (drop, other))
    path = predictor.predict(start, chunks).trajectory.cube_position[0, 0]
    assert path[-1, 2] == pytest.approx(0.045)
    lying = attrs.evolve(start, cube_quaternion=quaternion_exp(torch.tensor([[1.57, 0.0, 0.0]])))
    path = predictor.predict(lying, chunks).trajectory.cube_position[0, 0]
    assert path[-1, 2] == pytest.approx(0.03)


def test_it_is_delivered_where_it_stands() -> None:
    at_goal = state((0.45, 0.0, 0.045))
    at_goal.goal[:, 2] = 0.045
    assert delivered(at_goal, TALL).tolist() == [True]
    assert delivered(at_goal).tolist() == [False]
    around = state((0.45, 0.0, 0.045), hands=(None, (0.45, 0.0, 0.045)), width=0.06)
    around.goal[:, 2] = 0.045
    assert delivered(around, TALL).tolist() == [False]


@pytest.mark.parametrize("build", [build_model, build_nominal_model])
def test_physics_has_its_size_and_mass(build) -> None:
    model = build(box=TALL)
    cube = model.geom("cube")
    assert cube.size.tolist() == pytest.approx([0.025, 0.03, 0.045])
    assert float(model.body("cube").mass[0]) == pytest.approx(0.216)


@pytest.mark.parametrize("name", ["kinematic", "mujoco", "physics"])
def test_a_task_with_a_box_foresees_that_box(name: str) -> None:
    parts = HandoffTask().parts(HandoffOptions(box=(50, 60, 90)))
    standing = state((-0.2, 0.0, 0.045))
    standing.goal[:, 2] = 0.045
    still = tuple(chunk((4, STAY, OPEN))[None] for _ in ARMS)
    predictor = parts.predictors[name](Resources(threads=1))
    trajectory = predictor.predict(standing, tuple(each[None] for each in still)).trajectory
    assert trajectory.cube_position[0, 0, -1, 2] == pytest.approx(0.045, abs=1e-3)
    assert parts.advance is not None
    later, _ = parts.advance(standing, still)
    assert later.cube_position[0, 2] == pytest.approx(0.045, abs=1e-3)
    assert parts.finish is not None
    assert parts.finish.done(state((0.45, 0.0, 0.045))).tolist() == [True]


def test_simulators_say_that_they_know_the_cube_alone() -> None:
    parts = HandoffTask().parts(HandoffOptions(box=(50, 60, 90)))
    with pytest.raises(UsageError, match="--box: simulators know the cube alone"):
        parts.environment(Resources(threads=1)).reset([EpisodeKey(0, 0)])
