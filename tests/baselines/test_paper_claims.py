"""The paper's claims on results that are made up: each verdict can be reached."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from codi_baselines.paper.checks import (
    Answer,
    Check,
    LosesMore,
    Lower,
    Rarer,
    SolvesMost,
    SucceedsAsOften,
    SucceedsMore,
)
from codi_baselines.paper.claims import CLAIMS, JOINT, Claim, Verdict, judge
from codi_baselines.paper.outcomes import Measures, Outcome, read_measures
from codi_baselines.paper.page import told
from codi_baselines.paper.rows import ROWS
from codi_core.errors import UsageError
from tests.baselines.paper_outcomes import outcome, outcomes

MEASURES = Measures()
GOOD = {"successes": 58, "distance": 0.005, "seconds": 12.0}
BY_LABEL = {claim.label: claim for claim in CLAIMS}


def answer(check: Check, *found: Outcome) -> tuple[Answer, str]:
    finding = check.finding({each.label: each for each in found}, MEASURES)
    return finding.answer, finding.numbers


def verdict(claim: Claim, better: dict[str, dict[str, Any]]) -> Verdict:
    return judge(claim.findings(outcomes(better), MEASURES))


# -- Verdicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "better"),
    [
        ("C1", {"codi": GOOD}),
        ("C3", {"codi": GOOD, "codi-200": GOOD}),
        (
            "C4",
            {
                "codi": GOOD,
                "codi-no-guard": GOOD,
                "codi-indep-no-guard": {"collided": 50, "approached": 40},
                "codi-indep": {"interventions": 9},
            },
        ),
        ("C5", {"codi": GOOD}),
        ("C6", {"codi": GOOD, "codi-joint": GOOD, "codi-joint-simple": GOOD}),
    ],
)
def test_a_claim_holds_where_the_data_are_as_it_says(
    label: str, better: dict[str, dict[str, Any]]
) -> None:
    assert verdict(BY_LABEL[label], better) is Verdict.HOLDS


@pytest.mark.parametrize(
    ("label", "better"),
    [
        ("C1", {"codi": {"successes": 58}, "base": {"successes": 58}}),
        ("C3", {"codi": {"distance": 0.005}, "codi-200": {"distance": 0.005}}),
        ("C4", {"codi-indep-no-guard": {"collided": 50, "approached": 40, "seconds": 90.0}}),
        ("C5", {"codi": {"distance": 0.005}}),
        ("C6", {"codi": GOOD, "codi-joint": GOOD, "codi-joint-simple": {"successes": 45}}),
    ],
)
def test_a_claim_holds_in_part_where_half_of_it_does(
    label: str, better: dict[str, dict[str, Any]]
) -> None:
    assert verdict(BY_LABEL[label], better) is Verdict.IN_PART


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.label)
def test_a_claim_does_not_hold_where_all_methods_are_alike(claim: Claim) -> None:
    assert verdict(claim, {}) is Verdict.FAILS


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.label)
def test_a_claim_without_its_rows_is_not_tested(claim: Claim) -> None:
    findings = claim.findings({}, MEASURES)
    assert judge(findings) is Verdict.UNTESTED
    assert told(findings) == "not tested"
    assert all(row in {known.label for known in ROWS} for row in claim.rows)


def test_what_could_not_be_tested_does_not_count_and_is_said() -> None:
    found = outcomes({"codi": GOOD})
    for row in (*JOINT[1:], "codi-200", "cg-joint-200"):
        del found[row]
    findings = BY_LABEL["C3"].findings(found, MEASURES)
    assert told(findings) == "holds, as far as tested (2 of 13 statements)"
    assert findings[2].numbers == "there is no cg-joint"
    assert findings[2].text == "CoDi comes closer to the goal than CG-Joint (median)"


# -- Single statements --------------------------------------------------------------------------


def test_success_is_compared_on_the_same_starts() -> None:
    many, few = outcome("codi", successes=58), outcome("base", successes=50)
    found = answer(SucceedsMore(("codi", "base")), many, few)
    assert found[0] is Answer.YES
    assert found[1].startswith("58 of 60 against 50 of 60; difference +13.3 (")
    assert found[1].endswith("points, p = 0.0078")  # 8 starts to none: 2 / 2⁸
    assert answer(SucceedsMore(("base", "codi")), many, few)[0] is Answer.NO
    almost = outcome("base", successes=53)
    assert answer(SucceedsMore(("codi", "base")), many, almost)[0] is Answer.OPEN
    # Starts that only one of them has run are left out.
    half = attrs.evolve(few, records={n: few.records[n] for n in range(52)})
    assert answer(SucceedsMore(("codi", "base")), many, half)[1].startswith(
        "52 of 52 against 50 of 52"
    )


def test_as_often_means_within_ten_points_for_certain() -> None:
    check = SucceedsAsOften(("codi-200", "cg-joint"))
    reference = outcome("cg-joint", successes=58)
    for successes, expected in (
        (58, Answer.YES),
        (57, Answer.YES),
        (54, Answer.OPEN),
        (40, Answer.NO),
    ):
        assert answer(check, outcome("codi-200", successes=successes), reference)[0] is expected


def test_lower_compares_medians_or_means() -> None:
    near = outcome("codi", successes=60, distance=0.01, seconds=10.0)
    far = outcome("base", successes=30, distance=0.05, seconds=10.0)
    distance = answer(Lower(("codi", "base"), "distance", median=True), near, far)
    assert distance[0] is Answer.YES
    assert distance[1].startswith("1.15 against 5.75 cm; difference -4.6 (")
    time = answer(Lower(("codi", "base")), near, far)
    assert time[0] is Answer.YES
    assert time[1].startswith("12 against 36 s; difference -24 (")  # a failure counts as 60 s
    assert answer(Lower(("base", "codi")), near, far)[0] is Answer.NO
    assert answer(Lower(("codi", "base"), "interventions"), near, far)[0] is Answer.OPEN


def test_rarer_counts_episodes_not_occasions() -> None:
    check = Rarer(("codi", "codi-indep"), "approaches")
    calm, busy = outcome("codi", approached=1), outcome("codi-indep", approached=30)
    found = answer(check, calm, busy)
    assert found[0] is Answer.YES
    assert found[1].startswith("1 of 60 against 30 of 60; difference -48.3 (")
    assert answer(check, outcome("codi", approached=30), outcome("codi-indep"))[0] is Answer.NO


def test_shared_starts_are_those_that_no_agent_solves_alone() -> None:
    check = SolvesMost(("codi",))
    assert answer(check, outcome("codi", successes=58)) == (Answer.YES, "28 of 30 (78.7 to 98.2 %)")
    assert answer(check, outcome("codi", successes=46))[0] is Answer.OPEN
    assert answer(check, outcome("codi", successes=30))[0] is Answer.NO


def test_losses_by_the_simpler_cost_are_compared() -> None:
    rows = ("codi", "codi-simple", "codi-joint", "codi-joint-simple")
    found = [outcome(row, successes=n) for row, n in zip(rows, (58, 20, 56, 54), strict=True)]
    assert answer(LosesMore(rows), *found)[0] is Answer.YES
    assert answer(LosesMore(rows), *found)[1].startswith(
        "63.3 against 3.3 points; difference +60.0"
    )
    turned = (rows[2], rows[3], rows[0], rows[1])
    assert answer(LosesMore(turned), *found)[0] is Answer.NO


def test_what_the_records_do_not_say_is_not_tested() -> None:
    other = Measures(distance="made_up", shared="made_up", collisions="made_up")
    found = outcomes({"codi": GOOD})
    for check in (
        Lower(("codi", "base"), "distance"),
        SolvesMost(("codi",)),
        Rarer(("codi", "base"), "collisions"),
    ):
        finding = check.finding(found, other)
        assert (finding.answer, finding.numbers) == (Answer.UNTESTED, "the records don't say")


def test_an_episode_that_broke_is_a_failure_of_unknown_distance() -> None:
    broken = {"episode": 0, "success": False, "completion_time_s": None, "error": "no plan"}
    found = outcome("codi", successes=60)
    found = attrs.evolve(found, records={**found.records, 0: broken})
    assert found.successes == 59
    assert found.values("time")[0] == 60.0
    assert 0 not in found.values("min_goal_distance_m")


def test_measures_are_read_from_texts() -> None:
    assert read_measures(["distance=min_gap_m"]) == Measures(distance="min_gap_m")
    with pytest.raises(UsageError, match="unknown measure 'distanc'; did you mean 'distance'"):
        read_measures(["distanc=x"])
    with pytest.raises(UsageError, match="write NAME=FIELD"):
        read_measures(["distance"])
