"""Where demonstrations have shown the hands, and random places for the cube."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from codi_core.planning import NoiseSource
from codi_franka.workspace import graspable, sample_graspable, stays_known

HOME = (0.38, 0.0, 0.45)


def paths(*points: tuple[float, float, float]) -> tuple[Tensor, Tensor]:
    """One sample of one world: the first hand goes through the points, the second stays at home."""
    moving = torch.tensor(points)
    both = torch.stack((moving, torch.tensor(HOME).expand_as(moving)), 1)
    return both[None, None, 1:], both[None, 0]


@pytest.mark.parametrize(
    ("points", "known"),
    [
        ([HOME, (0.38, 0.0, 0.54), HOME], True),
        ([HOME, (0.38, 0.0, 0.56), HOME], False),  # a moment too high
        ([HOME, (0.77, 0.0, 0.02)], True),  # 0.832 m from the shoulder at 0.333 m
        ([HOME, (0.79, 0.0, 0.02)], False),  # 0.850 m
        ([HOME, (-0.79, 0.0, 0.02)], False),  # in any direction
        ([(0.38, 0.0, 0.8), (0.38, 0.0, 0.805), (0.38, 0.0, 0.7)], True),  # coasts, and returns
        ([(0.38, 0.0, 0.8), (0.38, 0.0, 0.82), (0.38, 0.0, 0.7)], False),
        ([(0.9, 0.0, 0.333), (0.9, 0.0, 0.333)], True),  # no further away than it was
        ([(0.9, 0.0, 0.333), (0.92, 0.0, 0.333)], False),
    ],
)
def test_a_hand_may_return_from_afar_but_not_go_there(
    points: list[tuple[float, float, float]], known: bool
) -> None:
    path, start = paths(*points)
    assert stays_known(path, start).tolist() == [[known]]
    assert stays_known(path.flip(-2), start.flip(-2)).tolist() == [[known]]


def test_each_sample_of_each_world_is_judged_from_its_own_start() -> None:
    high = torch.tensor([HOME, (0.38, 0.0, 0.7)])
    start = torch.stack((high[[0, 0]], high[[1, 0]]))  # (2, 2, 3)
    path = start[[0, 1]].unsqueeze(1).repeat(1, 2, 1, 1).unsqueeze(2)  # (2, 2, 1, 2, 3)
    path[:, 1, 0, 0, 2] = 0.7
    assert stays_known(path, start).tolist() == [[True, False], [True, True]]


# -- random places ------------------------------------------------------------------------------


def streams(*worlds: int) -> NoiseSource:
    return NoiseSource([(0, world, 0) for world in worlds])


def test_random_places_are_within_reach_and_spread_as_asked() -> None:
    """Uniform over the area: half of a ring's points lie beyond the radius that halves its area.

    Over the radius instead, half of them lie beyond its middle. The table's edges, which cut the
    sector off behind the base, hardly matter for points in front of it.
    """
    for by_radius, middle in ((0.0, np.hypot(0.35, 0.65) / np.sqrt(2)), (1.0, 0.5)):
        noise = streams(*range(4000))
        points = sample_graspable(noise, by_radius)
        assert graspable(points).all()
        ahead = points[torch.atan2(points[:, 1], points[:, 0]).abs() < 0.8]
        radius = ahead.norm(dim=-1)
        radius = radius[(radius > 0.35) & (radius < 0.65)]
        assert (radius > middle).float().mean() == pytest.approx(0.5, abs=0.04)


def test_a_world_draws_its_places_alone() -> None:
    together = sample_graspable(streams(0, 1, 2))
    for world in range(3):
        torch.testing.assert_close(sample_graspable(streams(world))[0], together[world])
    noise, where = streams(0, 1), torch.tensor([True, False])
    some = sample_graspable(noise, where=where)
    torch.testing.assert_close(some, torch.stack((together[0], torch.zeros(2))))
    later = sample_graspable(noise)  # the second stream begins now
    torch.testing.assert_close(later[1], together[1])
