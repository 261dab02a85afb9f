"""The cost of Eq. 20 and Appendix C against numbers worked out by hand, and its laws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codi_core.costs import CostTerm, WeightedCost
from codi_franka.handoff.costs import (
    TABLE_I,
    CollisionCost,
    EngageAllCost,
    EngagementCost,
    GoalCost,
)
from codi_franka.prediction.trajectory import HandoffTrajectory
from codi_franka.task import COSTS

GOAL = (0.45, 0.0, 0.025)
ALL = [GoalCost(), CollisionCost(), EngagementCost(), EngageAllCost()]


def trajectory(hands: Tensor, cube: Tensor, goal: Tensor | None = None) -> HandoffTrajectory:
    """From hands (B, M, K, N, 3) and a cube (B, M, K, 3)."""
    if goal is None:
        goal = torch.tensor(GOAL, dtype=hands.dtype).expand(len(hands), 1, 1, 3)
    return HandoffTrajectory(hands, torch.zeros(hands.shape[:-1]), cube, goal, lambda: hands)


def one(left: list, right: list, cube: list) -> HandoffTrajectory:
    """One world, one sample, from lists of K points."""
    hands = torch.tensor([left, right], dtype=torch.float64).transpose(0, 1)
    return trajectory(hands[None, None], torch.tensor(cube, dtype=torch.float64)[None, None])


@pytest.fixture
def by_hand() -> HandoffTrajectory:
    """The left hand follows the cube 27.95 cm away and comes within 20 cm of the right one."""
    left = [[0.0, 0.0, 0.3], [0.1, 0.0, 0.3], [0.2, 0.0, 0.3]]
    right = [[0.4, 0.0, 0.3]] * 3
    cube = [[0.05, 0.0, 0.025], [0.15, 0.0, 0.025], [0.25, 0.0, 0.025]]
    return one(left, right, cube)


LEFT_GAP = math.hypot(0.05, 0.275)
RIGHT_GAP = math.hypot(0.15, 0.275)


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (GoalCost(), 0.2 - 0.01),
        (GoalCost(threshold=0.15), 0.05),
        (GoalCost(threshold=0.25), 0.0),
        (CollisionCost(), 0.3 - 0.2),
        (CollisionCost(radius=0.2 - 1e-9), 0.0),
        (CollisionCost(kind="indicator"), 1.0),
        (CollisionCost(radius=0.15, kind="indicator"), 0.0),
        (EngagementCost(), LEFT_GAP - 0.2),
        (EngagementCost(threshold=0.28), 0.0),
        (EngageAllCost(), LEFT_GAP + RIGHT_GAP - 0.4),
    ],
)
def test_terms_equal_the_numbers_worked_out_by_hand(by_hand, cost, expected: float) -> None:
    assert cost(by_hand).item() == pytest.approx(expected, abs=1e-12)


def test_the_sum_has_the_weights_of_table_i(by_hand) -> None:
    assert TABLE_I == {"handoff-goal": 1.0, "handoff-collision": 10.0, "handoff-engagement": 10.0}
    total = WeightedCost(tuple(CostTerm(n, COSTS[n](), w) for n, w in TABLE_I.items()))
    expected = 1 * 0.19 + 10 * 0.1 + 10 * (LEFT_GAP - 0.2)
    assert total(by_hand).item() == pytest.approx(expected, abs=1e-12)


def test_the_thresholds_are_those_of_table_i() -> None:
    assert (GoalCost().threshold, CollisionCost().radius) == (0.01, 0.3)
    assert (EngagementCost().threshold, EngageAllCost().threshold) == (0.2, 0.2)
    assert CollisionCost().kind == "hinge"


def test_hinges_take_the_maximum_with_zero_not_the_minimum() -> None:
    """As printed (min), the far cube and the distant hands would cost nothing or less."""
    far = one([[-0.6, 0.0, 0.3]], [[0.6, 0.0, 0.3]], [[-0.55, 0.0, 0.025]])
    near = one([[0.4, 0.0, 0.05]], [[0.5, 0.0, 0.05]], [[0.45, 0.0, 0.025]])
    assert GoalCost()(far).item() == pytest.approx(1.0 - 0.01)
    assert GoalCost()(near).item() == 0.0
    assert CollisionCost()(far).item() == 0.0
    assert CollisionCost()(near).item() == pytest.approx(0.3 - 0.1)
    assert EngagementCost()(far).item() == pytest.approx(math.hypot(0.05, 0.275) - 0.2)
    assert EngagementCost()(near).item() == 0.0


def test_engagement_asks_the_hand_that_is_closer_after_the_first_action() -> None:
    """The left hand starts closer and leaves; the right one reaches the cube: Eq. 44 ignores it."""
    left = [[0.0, 0.0, 0.35], [0.0, 0.0, 0.65], [0.0, 0.0, 0.95]]
    right = [[0.4, 0.0, 0.0], [0.2, 0.0, 0.0], [0.0, 0.0, 0.0]]
    cube = [[0.0, 0.0, 0.0]] * 3
    assert EngagementCost()(one(left, right, cube)).item() == pytest.approx(0.15)
    assert EngagementCost()(one(right, left, cube)).item() == pytest.approx(0.15)
    closer_right = [[0.3, 0.0, 0.0], *right[1:]]
    assert EngagementCost()(one(left, closer_right, cube)).item() == 0.0


def test_samples_choose_their_closer_hand_on_their_own() -> None:
    hands = torch.zeros(1, 2, 1, 2, 3)
    hands[0, 0, 0, :, 0] = torch.tensor([0.3, 0.5])
    hands[0, 1, 0, :, 0] = torch.tensor([0.9, 0.4])
    found = EngagementCost()(trajectory(hands, torch.zeros(1, 2, 1, 3)))
    torch.testing.assert_close(found, torch.tensor([[0.1, 0.2]]))


def test_an_unknown_kind_of_collision_cost_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"'hinge' .* or 'indicator' .*, not 'soft'"):
        CollisionCost(kind="soft")


def test_collision_with_three_arms_takes_the_closest_pair() -> None:
    hands = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.5, 0.25, 0.0]])[None, None, None]
    found = CollisionCost()(trajectory(hands, torch.zeros(1, 1, 1, 3)))
    assert found.item() == pytest.approx(0.05)


@st.composite
def trajectories(draw: st.DrawFn) -> HandoffTrajectory:
    """Random paths, down to a horizon of K = 1."""
    worlds, samples = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    steps, arms = draw(st.integers(1, 5)), draw(st.integers(2, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    spread = draw(st.sampled_from([0.05, 0.3, 1.0]))
    points = spread * torch.randn(
        worlds, samples, steps, arms + 1, 3, generator=generator, dtype=torch.float64
    )
    return trajectory(points[..., :-1, :], points[..., -1, :])


LAW = settings(max_examples=50, deadline=None)


@pytest.mark.parametrize("cost", ALL, ids=lambda cost: type(cost).__name__)
class TestLaws:
    """What must hold of every term, whatever the trajectory."""

    @LAW
    @given(path=trajectories())
    def test_costs_are_finite_and_not_negative(self, cost, path) -> None:
        value = cost(path)
        assert value.shape == path.cube_position.shape[:2]
        assert value.isfinite().all()
        assert (value >= 0).all()

    @LAW
    @given(path=trajectories())
    def test_the_order_of_the_arms_does_not_matter(self, cost, path) -> None:
        swapped = trajectory(path.hand_position.flip(-2), path.cube_position)
        torch.testing.assert_close(cost(swapped), cost(path))

    @LAW
    @given(path=trajectories(), angle=st.floats(-3.1, 3.1))
    def test_moving_the_whole_world_changes_nothing(self, cost, path, angle: float) -> None:
        c, s = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
        shift = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
        moved = trajectory(
            path.hand_position @ turn.T + shift,
            path.cube_position @ turn.T + shift,
            path.goal @ turn.T + shift,
        )
        torch.testing.assert_close(cost(moved), cost(path), atol=1e-9, rtol=1e-9)

    @LAW
    @given(path=trajectories(), scale=st.floats(0.2, 5.0))
    def test_a_cost_has_the_unit_of_a_length(self, cost, path, scale: float) -> None:
        """In other units of length, thresholds included, hinges scale along."""
        field = "radius" if isinstance(cost, CollisionCost) else "threshold"
        scaled = type(cost)(**{field: scale * getattr(cost, field)})
        larger = trajectory(
            scale * path.hand_position, scale * path.cube_position, scale * path.goal
        )
        torch.testing.assert_close(scaled(larger), scale * cost(path), atol=1e-9, rtol=1e-9)

    @LAW
    @given(path=trajectories())
    def test_a_sample_costs_the_same_alone(self, cost, path) -> None:
        alone = trajectory(path.hand_position[:1, -1:], path.cube_position[:1, -1:])
        torch.testing.assert_close(cost(alone), cost(path)[:1, -1:])


def test_each_world_is_judged_by_its_own_goal() -> None:
    """Two worlds alike but for their goals, 20 and 50 cm from the cube's last place."""
    path = one([[0.0] * 3], [[0.4, 0.0, 0.3]], [[0.25, 0.0, 0.025]])
    hands, cube = (value.expand(2, *value.shape[1:]) for value in
                   (path.hand_position, path.cube_position))  # fmt: skip
    goals = torch.tensor([GOAL, (-0.25, 0.0, 0.025)], dtype=torch.float64)[:, None, None]
    together = GoalCost()(trajectory(hands, cube, goals))
    torch.testing.assert_close(together, torch.tensor([[0.19], [0.49]], dtype=torch.float64))


@LAW
@given(path=trajectories())
def test_the_indicator_is_one_exactly_where_the_hinge_is_positive(path) -> None:
    hinge, indicator = CollisionCost()(path), CollisionCost(kind="indicator")(path)
    torch.testing.assert_close(indicator, (hinge > 0).double())


@LAW
@given(path=trajectories())
def test_engaging_every_hand_costs_at_least_as_much_as_engaging_the_closer_one(path) -> None:
    assert (EngageAllCost()(path) >= EngagementCost()(path) - 1e-12).all()
