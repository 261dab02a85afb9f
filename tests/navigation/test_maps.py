import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.errors import UsageError
from codi_navigation.maps.problem import Problem, check_problem, check_reachable
from codi_navigation.maps.rays import cast
from codi_navigation.maps.shapes import FAR, Map, Maps, Obstacle, signed_distance, walls
from codi_navigation.routing import plan_routes
from tests.navigation.worlds import BLOCK, EXTENT, PILLAR

coordinate = st.floats(-3, 3, allow_subnormal=False)


def distance(shape, *points):
    return Maps.of([Map(EXTENT, (shape,))]).distance(torch.tensor([points]))[0]


def test_the_distance_to_a_box_is_exact_outside_at_corners_and_inside():
    box = Obstacle.box(1.0, 0.0, 2.0, 1.0)
    found = distance(box, (3.0, 0.0), (2.3, 0.9), (1.0, 0.2), (1.9, 0.0))
    assert found.tolist() == pytest.approx([1.0, 0.5, -0.3, -0.1], abs=1e-6)


def test_the_distance_to_a_turned_box_is_that_in_its_own_frame():
    turned = Obstacle.box(0.0, 0.0, 2.0, 1.0, math.pi / 2)
    assert distance(turned, (0.0, 1.5), (0.9, 0.0)).tolist() == pytest.approx([0.5, 0.4], abs=1e-6)


def test_the_distance_to_a_circle_is_exact():
    assert distance(PILLAR, (-1.0, 3.0), (-1.0, 1.1)).tolist() == pytest.approx([1.6, -0.3])


@given(coordinate, coordinate, coordinate, coordinate)
def test_distances_never_change_faster_than_one_moves(x, y, to_x, to_y):
    shapes = torch.tensor([[*vars_of(BLOCK)], [*vars_of(PILLAR)]])
    here, there = torch.tensor([[x, y]]), torch.tensor([[to_x, to_y]])
    change = (signed_distance(here, shapes) - signed_distance(there, shapes)).abs()
    assert (change <= (here - there).norm() + 1e-5).all()


def vars_of(shape):
    return (shape.x, shape.y, shape.half_length, shape.half_width, shape.angle, shape.rounding)


def test_worlds_of_a_batch_have_their_own_obstacles():
    maps = Maps.of([Map(EXTENT), Map(EXTENT, (PILLAR,)), Map(EXTENT, (PILLAR, BLOCK))])
    points = torch.tensor([0.5, 0.2]).expand(3, 1, 2)
    alone = [
        Maps.of([Map(EXTENT, shapes)]).distance(points[:1]).item()
        for shapes in ((PILLAR,), (PILLAR, BLOCK))
    ]
    assert maps.distance(points)[1:, 0].tolist() == pytest.approx(alone)
    assert maps.distance(points)[0, 0] > FAR
    assert Maps.of([Map(EXTENT)]).distance(points[:1]).item() == FAR


def test_rays_agree_with_marching_along_them():
    maps = Maps.of([Map(EXTENT, (BLOCK, PILLAR, *walls(EXTENT)))])
    generator = torch.Generator().manual_seed(0)
    origin = 4 * torch.rand(1, 40, 2, generator=generator) - 2
    angle = 2 * math.pi * torch.rand(1, 40, 12, generator=generator)
    direction = torch.stack((angle.cos(), angle.sin()), -1)
    found = cast(maps, origin, direction, 2.5)
    along = torch.arange(0, 2.5, 1e-3)
    points = origin[:, :, None, None] + along[:, None] * direction.unsqueeze(-2)
    inside = maps.distance(points) <= 0
    first = torch.where(inside.any(-1), along[inside.float().argmax(-1)], 2.5)
    # Marching overlooks the corners that a ray only grazes.
    close = (found - first).abs() < 2e-3
    assert close.float().mean() > 0.995
    assert (found <= first + 2e-3).all()


def test_rays_along_the_axes_of_a_box_meet_its_sides():
    maps = Maps.of([Map(EXTENT, (Obstacle.box(1.0, 0.0, 1.0, 1.0), PILLAR))])
    direction = torch.tensor([[[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]]])
    found = cast(maps, torch.zeros(1, 1, 2), direction, 5.0)
    assert found[0, 0].tolist() == pytest.approx([0.5, 5.0, 5.0, 5.0])
    inside = cast(maps, torch.tensor([[[1.0, 0.0]]]), direction, 5.0)
    assert (inside == 0).all()


def problem(starts, goals, obstacles=()):
    return Problem(Map(EXTENT, obstacles), starts, goals, np.zeros(len(starts)))


@pytest.mark.parametrize(
    ("starts", "goals", "obstacles", "message"),
    [
        ([(0, 0), (0.2, 0)], [(2, 0), (-2, 0)], (), r"starts of robots 0 and 1 overlap.*0\.200 m"),
        ([(0, 0), (1, 0)], [(2, 0), (2, 0.1)], (), "goals of robots 0 and 1 overlap"),
        ([(-2, -2)], [(-1, 1)], (PILLAR,), r"robot 0's goal \(-1\.00, 1\.00\) is inside an obsta"),
        ([(-1, 1.5)], [(2, 2)], (PILLAR,), r"robot 0's start .* is 0\.100 m from one"),
        ([(0, 0)], [(4, 0)], (), "robot 0's goal .* is outside the map"),
        ([(0, 0)], [(1, 0), (2, 0)], (), "as many goals and headings as starts"),
    ],
)
def test_bad_problems_are_refused_with_what_is_wrong(starts, goals, obstacles, message):
    with pytest.raises(UsageError, match=message):
        check_problem(problem(starts, goals, obstacles), 0.15)


def test_a_good_problem_is_accepted():
    check_problem(problem([(0, 0), (0.3, 0)], [(2, 0), (-2, 0)]), 0.15)


def test_a_map_that_is_closed_off_is_refused():
    wall = Obstacle.box(0.0, 0.0, 0.3, 6.0)
    closed = problem([(-2, 0)], [(2, 0)], (*walls(EXTENT), wall))
    routes = plan_routes([closed.map], closed.goals[None], np.array([[0.15]]))
    lengths = routes.distance(torch.from_numpy(closed.starts)[None])[0].numpy()
    with pytest.raises(UsageError, match="closed off for robot 0: no path of a robot of radius"):
        check_reachable(closed, lengths, 0.15)
