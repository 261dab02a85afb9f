"""How episodes are scored, and what a run reports."""

from __future__ import annotations

import numpy as np
import pytest

from codi_franka.handoff.metrics import HandoffMetrics, occasions

METRICS = HandoffMetrics()
PERIOD = 0.1
COUNTS = ("collisions", "simultaneous_approaches", "guard_interventions", "guard_seconds")


def events(distance: list[float], **others) -> dict[str, np.ndarray]:
    """One episode in which only the named things happen."""
    steps = len(distance)
    quiet = {
        "goal_distance_m": np.array(distance),
        "failed": np.zeros(steps, dtype=bool),
        "arm_contact": np.zeros(steps, dtype=bool),
        "cube_touched": np.zeros(steps, dtype=bool),
        "cube_speed_m_s": np.zeros(steps),
        "hand_distance_m": np.full(steps, 0.4),
        "left_only": np.ones(steps, dtype=bool),
        "cube_position": np.tile([0.1, 0.2, 0.025], (steps, 1)),
        "hand_position": np.tile([[-0.3, 0.0, 0.4], [0.3, 0.0, 0.4]], (steps, 1, 1)),
        "gripper_width": np.full((steps, 2), 0.08),
        "guard_m_s": np.zeros(steps),
    }
    return quiet | {name: np.array(value) for name, value in others.items()}


def score(distance: list[float], **others) -> dict:
    return METRICS.episode(events(distance, **others), PERIOD)


def test_success_is_the_first_time_within_15_cm() -> None:
    record = score([0.9, 0.5, 0.151, 0.15, 0.4, 0.1, 0.6])
    assert record["success"] is True
    assert record["completion_time_s"] == pytest.approx(0.3)
    assert record["min_goal_distance_m"] == pytest.approx(0.1)


def test_coming_close_is_not_enough() -> None:
    record = score([0.9, 0.1501, 0.3])
    assert record["success"] is False
    assert record["completion_time_s"] is None
    assert record["min_goal_distance_m"] == pytest.approx(0.1501)


@pytest.mark.parametrize(
    ("others", "settled"),
    [
        ({}, True),
        ({"cube_touched": [False, False, True]}, False),
        ({"cube_touched": [True, True, False]}, True),
        ({"cube_speed_m_s": [0.0, 0.0, 0.02]}, False),
        ({"cube_speed_m_s": [0.5, 0.5, 0.005]}, True),
        ({"failed": [False, False, True]}, False),
    ],
)
def test_settled_is_released_at_rest_and_near_at_the_end(others: dict, settled: bool) -> None:
    assert score([0.9, 0.5, 0.12], **others)["settled"] is settled


def test_an_episode_that_was_near_but_ends_far_is_a_success_and_not_settled() -> None:
    record = score([0.9, 0.1, 0.3])
    assert record["success"] is True
    assert record["settled"] is False


def test_what_happens_after_a_failure_does_not_count() -> None:
    """A cube that fell off the table may roll under the goal."""
    record = score([0.9, 0.4, 0.05, 0.01], failed=[False, False, True, True])
    assert record["success"] is False
    assert record["completion_time_s"] is None
    assert record["min_goal_distance_m"] == pytest.approx(0.4)
    assert record["failed"] is True


def test_a_success_before_a_failure_counts() -> None:
    record = score([0.9, 0.14, 0.5], failed=[False, False, True])
    assert record["success"] is True
    assert record["settled"] is False
    assert record["failed"] is True


def test_a_world_that_fails_at_once_has_a_finite_distance() -> None:
    record = score([0.1, 0.1], failed=[True, True])
    assert record["success"] is False
    assert record["min_goal_distance_m"] == 10.0


def test_contacts_and_hand_distances_are_those_of_the_whole_episode() -> None:
    record = score(
        [0.9, 0.9, 0.9],
        arm_contact=[False, True, False],
        hand_distance_m=[0.4, 0.02, 0.3],
        left_only=[False] * 3,
    )
    assert record["arm_contact"] is True
    assert record["min_hand_distance_m"] == pytest.approx(0.02)
    assert record["left_only"] is False
    assert record["start"] == [0.1, 0.2, 0.025]


def beside_the_cube(*distances: float) -> list[list[float]]:
    """Positions of both hands at these distances from the cube, on its two sides."""
    return [[0.1 + side * far, 0.2, 0.025] for side, far in zip((-1, 1), distances, strict=True)]


@pytest.mark.parametrize(
    ("hands", "width", "expected"),
    [
        ((0.19, 0.19), 0.08, 1),
        ((0.21, 0.19), 0.08, 0),  # one is engaged
        ((0.02, 0.19), 0.08, 1),  # around the cube, still open
        ((0.02, 0.19), 0.05, 0),  # it holds the cube: the other one waits for it
        ((0.02, 0.19), 0.01, 1),  # closed on nothing
    ],
)
def test_a_simultaneous_approach_is_two_hands_at_a_free_cube(
    hands: tuple[float, float], width: float, expected: int
) -> None:
    scored = score(
        [0.9] * 3, hand_position=[beside_the_cube(*hands)] * 3, gripper_width=[[width, 0.08]] * 3
    )
    assert scored["simultaneous_approaches"] == expected


def test_occasions_with_less_than_a_second_between_them_are_one() -> None:
    def count(*steps: int) -> int:
        return occasions(np.isin(np.arange(60), steps), PERIOD)

    assert count() == 0
    assert count(0) == count(59) == count(*range(60)) == 1
    assert count(3, 4, 9, 13) == count(3, 13) == 1
    assert count(3, 14) == 2
    assert count(3, 5, 20, 40, 41) == 3


def test_collisions_and_interventions_of_the_guard_are_counted() -> None:
    times = np.arange(40)
    scored = score(
        [0.9] * 40,
        arm_contact=np.isin(times, (2, 3, 20)),
        guard_m_s=np.where(np.isin(times, (1, 2, 3, 18, 19, 39)), 0.2, 0.005),
    )
    assert scored["collisions"] == 2
    assert scored["guard_interventions"] == 3
    assert scored["guard_seconds"] == pytest.approx(0.6)
    quiet = score([0.9] * 40)
    assert [quiet[name] for name in COUNTS] == [0, 0, 0, 0]


def record(**values) -> dict:
    plain = {
        "success": True, "min_goal_distance_m": 0.01, "left_only": True, "settled": True,
        "arm_contact": False, "min_hand_distance_m": 0.2, "failed": False, "collisions": 0,
        "simultaneous_approaches": 0, "guard_interventions": 0, "guard_seconds": 0.0,
    }  # fmt: skip
    return plain | values


def test_the_summary_holds_the_values_worked_out_by_hand() -> None:
    records = [
        record(),
        record(success=False, min_goal_distance_m=0.5, settled=False, min_hand_distance_m=0.0,
               arm_contact=True, collisions=3, simultaneous_approaches=2, guard_interventions=5,
               guard_seconds=2.0),
        record(success=False, left_only=False, min_goal_distance_m=0.3, settled=False,
               min_hand_distance_m=0.1, failed=True),
        record(left_only=False, min_goal_distance_m=0.02, settled=False, min_hand_distance_m=0.3),
    ]  # fmt: skip
    summary = METRICS.summary(records)
    assert summary["min_goal_distance_m"]["median"] == pytest.approx(0.16)
    assert summary["min_goal_distance_m"]["p95"] == pytest.approx(0.3 + 0.85 * 0.2)
    assert summary["left_only_success_rate"] == pytest.approx(0.5)
    assert summary["left_only_episodes"] == 2
    assert summary["settled_rate"] == pytest.approx(0.25)
    assert summary["arm_contact_rate"] == pytest.approx(0.25)
    assert summary["min_hand_distance_m"]["median"] == pytest.approx(0.15)
    assert summary["min_hand_distance_m"]["p5"] == pytest.approx(0.15 * 0.1)
    assert summary["failed_rate"] == pytest.approx(0.25)
    assert summary["collisions_per_episode"] == pytest.approx(0.75)
    assert summary["simultaneous_approaches_per_episode"] == pytest.approx(0.5)
    assert summary["guard_interventions_per_episode"] == pytest.approx(1.25)
    assert summary["guard_seconds"] == pytest.approx(0.5)


def test_a_run_of_an_earlier_version_is_summed_up_without_what_it_did_not_count() -> None:
    earlier = {name: value for name, value in record().items() if name not in COUNTS}
    summary = METRICS.summary([earlier])
    assert summary["settled_rate"] == 1.0
    assert summary["collisions_per_episode"] is None
    assert METRICS.summary([earlier, record(collisions=2)])["collisions_per_episode"] == 2.0


def test_without_left_only_starts_their_rate_is_missing_not_zero() -> None:
    summary = METRICS.summary([record(left_only=False)])
    assert summary["left_only_success_rate"] is None
    assert summary["left_only_episodes"] == 0
