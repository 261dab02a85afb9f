import numpy as np
import pytest

from codi_navigation.metrics import NavigationMetrics

DT = 0.1


def events(distance, contact_at=None, limit=2.0, position=None):
    """An episode of two robots from their distances to the goals (T + 1, 2)."""
    distance = np.asarray(distance, float)
    steps = len(distance)
    if position is None:
        position = np.stack((distance, np.zeros_like(distance)), -1)
    contact = np.zeros((steps, 2), bool)
    if contact_at is not None:
        contact[contact_at] = True
    return {
        "goal_distance_m": distance,
        "robot_contact": contact,
        "obstacle_contact": np.zeros((steps, 2), bool),
        "time_limit_s": np.full(steps, limit),
        "closest_m": np.linspace(0.5, 0.1, steps),
        "position": position,
        "shortest_path_m": np.full((steps, 2), 1.0),
    }


def approach(first=10, second=14, steps=30):
    """Robots that reach their goals, 1 m away, in these steps and stay."""
    step = np.arange(steps + 1)
    return np.stack([np.clip(1 - step / last, 0, 1) for last in (first, second)], -1)


def test_success_is_when_all_are_there():
    record = NavigationMetrics().episode(events(approach()), DT)
    assert record["success"]
    # Within 10 cm after 9 and after 13 of the steps.
    assert record["completion_time_s"] == record["makespan_s"] == pytest.approx(1.3)
    assert record["flow_time_s"] == pytest.approx((0.9 + 1.3) / 2)
    assert record["path_ratio"] == pytest.approx((1.0 + 13 / 14) / 2)
    assert record["arrived"] == 1.0
    assert not record["deadlock"]


def test_only_what_happened_until_the_success_counts():
    record = NavigationMetrics().episode(events(approach(), contact_at=20), DT)
    assert record["success"]
    assert not record["robot_contact"]
    assert record["closest_m"] == pytest.approx(0.5 - 0.4 * 13 / 30, abs=1e-5)


def test_a_contact_before_makes_a_failure():
    record = NavigationMetrics().episode(events(approach(), contact_at=5), DT)
    assert not record["success"]
    assert record["robot_contact"]
    assert record["completion_time_s"] is None
    assert not record["deadlock"]


def test_arriving_late_is_a_failure():
    assert not NavigationMetrics().episode(events(approach(), limit=1.2), DT)["success"]
    assert NavigationMetrics().episode(events(approach(), limit=1.3), DT)["success"]


def test_robots_must_be_there_at_the_same_time():
    passing = approach()
    passing[12:, 0] = 0.5
    record = NavigationMetrics().episode(events(passing), DT)
    assert not record["success"]
    assert record["arrived"] == 0.5


@pytest.mark.parametrize(("speed", "deadlock"), [(0.0, True), (0.2, False)])
def test_a_deadlock_is_a_robot_that_stopped_away_from_its_goal(speed, deadlock):
    distance = np.stack((np.full(41, 0.05), np.full(41, 3.0)), -1)
    position = np.zeros((41, 2, 2))
    position[:, 1, 0] = speed * DT * np.arange(41)
    record = NavigationMetrics().episode(events(distance, position=position), DT)
    assert record["deadlock"] == deadlock


def test_summaries_average_over_the_episodes_that_have_a_value():
    metrics = NavigationMetrics()
    good = metrics.episode(events(approach()), DT)
    bad = metrics.episode(events(approach(), contact_at=5), DT)
    summary = metrics.summary([good, bad])
    assert summary["makespan_s"] == pytest.approx(1.3)
    assert summary["robot_contact_rate"] == 0.5
    assert summary["deadlock_rate"] == 0.0
    assert metrics.summary([bad])["path_ratio"] is None
