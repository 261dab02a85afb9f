"""The closed-form benchmark: its measures, its verdict, and the rules of its cells."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

from codi_baselines.closed_form import measures
from codi_baselines.closed_form.cells import Cell, Effort, make_cells, measure, references
from codi_baselines.closed_form.estimators import (
    BUILT_IN,
    EXACT_GUIDANCE,
    PRINTED,
    Estimator,
    Role,
    chosen,
    estimators,
)
from codi_baselines.closed_form.problems import SCHEDULE, SHAPES, problem
from codi_baselines.closed_form.session import as_csv
from codi_baselines.closed_form.table import Row, summarise
from codi_baselines.closed_form.verdict import conclusions, verdicts
from codi_baselines.folder import BenchmarkFolder
from codi_baselines.progress import PlainCells, time_left
from codi_core.errors import UsageError
from codi_core.guidance import MonteCarloGuidance, NoGuidance
from codi_core.host.plugins import Host, load_plugins
from codi_core.testing import ExactGuidance, ExactPosterior, GaussianMixture, energy_distance

TINY = Effort(budget=1, least=2, schedule=attrs.evolve(SCHEDULE, steps=4))


@pytest.fixture(scope="module")
def host() -> Host:
    return load_plugins(entry_points=[])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- The problems -----------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", SHAPES)
def test_the_problems_are_as_hard_as_stated(dimension: int) -> None:
    known = references(dimension, 2)
    pairs = SHAPES[dimension][0] / 2
    assert problem(dimension, 0).size == dimension
    assert known["unguided"] == pytest.approx(137 * pairs, rel=0.05)
    assert known["ideal"] == pytest.approx(0.91 * pairs, rel=0.01)


# -- The measures -----------------------------------------------------------------------------


def test_energy_distance_of_normals_apart_has_its_closed_form() -> None:
    # One-dimensional N(0, 1) and N(m, 1): 2 E|X-Y| - 2 E|X-X'|, with E|N(m, 2)| known.
    count, mean = 4_000, 2.0
    first = torch.randn(count, 1, generator=generator(), dtype=torch.float64)
    second = mean + torch.randn(count, 1, generator=generator(1), dtype=torch.float64)
    across = 2 / math.sqrt(math.pi) * math.exp(-(mean**2) / 4) + mean * math.erf(mean / 2)
    expected = 2 * across - 4 / math.sqrt(math.pi)
    assert float(energy_distance(first, second)) == pytest.approx(expected, rel=0.05)


def test_exact_draws_have_no_distance_and_no_wrong_modes() -> None:
    solved = problem(64, 1)
    exact, others = (solved.oracle.sample(1_000, generator(seed)) for seed in (0, 1))
    assert abs(measures.endpoint_distance(solved, exact, others)) < 0.01
    assert measures.wrong_modes(solved, exact) == 0
    floor = measures.mode_floor(solved, 1_000, 0)
    assert measures.mode_distance(solved, exact) == pytest.approx(floor, abs=0.02)


def test_the_product_policy_has_the_wrong_modes_that_its_weights_say() -> None:
    solved = problem(32, 0)
    (group,) = solved.oracle.groups
    base, target = group.base.log_weights.exp(), group.target.log_weights.exp()
    drawn = group.base.sample(4_000, generator())
    wrong = float(base[target < measures.EXCLUDED].sum())
    assert 0.5 < wrong < 0.8
    assert measures.wrong_modes(solved, drawn) == pytest.approx(wrong, abs=0.03)
    apart = float(0.5 * (base - target).abs().sum())
    assert measures.mode_distance(solved, drawn) == pytest.approx(apart, abs=0.03)


def test_the_floor_of_the_mode_distance_falls_as_one_over_the_root() -> None:
    solved = problem(32, 0)
    few, many = (measures.mode_floor(solved, count, 0) for count in (25, 400))
    assert few / many == pytest.approx(4.0, rel=0.25)


def test_all_draws_in_one_mode_are_as_far_as_its_weight_says() -> None:
    solved = problem(32, 0)
    (group,) = solved.oracle.groups
    weights = group.target.log_weights.exp()
    mode = int(weights.argmax())
    one = GaussianMixture(
        torch.zeros(1, dtype=torch.float64),
        group.target.means[mode : mode + 1],
        group.target.basis[mode : mode + 1],
        group.target.variances[mode : mode + 1],
    )
    found = measures.mode_distance(solved, one.sample(200, generator()))
    assert found == pytest.approx(1 - float(weights[mode]), abs=1e-3)


def test_the_error_of_g_is_zero_one_and_falls_with_m() -> None:
    solved = problem(32, 0)

    def error(guidance: Any, sigma: float) -> float:
        return measures.guidance_error(solved, guidance, SCHEDULE, sigma, 64, 0)

    assert error(ExactGuidance(solved.oracle), 0.5) < 1e-4
    assert error(NoGuidance(), 0.5) == pytest.approx(1.0, abs=1e-4)
    few, many = (
        error(MonteCarloGuidance(ExactPosterior(solved.product), m, solved.temperature), 0.2)
        for m in (64, 1024)
    )
    assert few / many == pytest.approx(4.0, rel=0.35)


# -- The cells --------------------------------------------------------------------------------


def test_every_estimator_is_measured_with_exact_evaluation_counts(host: Host) -> None:
    cells = [Cell(32, 0, entry, entry.samples[0]) for entry in BUILT_IN]
    found = {cell.estimator.label: measure(cell, host, TINY) for cell in cells}
    steps = TINY.schedule.steps
    below = int((TINY.schedule.levels()[:-1] <= 0.5).sum())
    expected = {
        EXACT_GUIDANCE: 0,
        PRINTED: 16 * steps,
        "jacobian": 16 * steps,
        "library": 16,
        "hybrid, jacobian": 16 + 16 * below,
        "hybrid, library 256": 256 + 16 * below,
        "isotropic, warm": 16 * 24,
        "best-of": 16,
        "resampling": 4 * steps,
        "selection": 5 * (1 + 2),
        "selection, 4 sweeps": 5 * (1 + 4 * 2),
        "selection, chain": 8 * 5 * (1 + 2),
        "search": 25 * (1 + 2) + 4 * 16 + 2**2,
    }
    assert {label: found[label]["evaluations"] for label in expected} == expected
    for record in found.values():
        assert math.isfinite(record["cost"])
    assert found[EXACT_GUIDANCE]["errors"] == found["best-of"]["errors"] == {}
    assert set(found[PRINTED]["errors"]) == {"2", "1", "0.5", "0.2", "0.05"}


def test_a_cell_is_the_same_again_and_whatever_the_chunk(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell(64, 3, Estimator("library", (16,), guidance="library"), 16)
    effort = attrs.evolve(TINY, least=3)
    first = measure(cell, host, effort)
    monkeypatch.setattr("codi_baselines.closed_form.cells.CHUNK", 2 * 16 * 64)
    second = measure(cell, host, effort)
    assert first["plans"] == 3
    for name in ("cost", "energy_distance", "cost_variance"):
        assert first[name] == pytest.approx(second[name], rel=1e-4)


def test_fewer_plans_are_made_where_they_take_longer() -> None:
    printed = next(entry for entry in BUILT_IN if entry.label == PRINTED)
    plans = [Cell(32, 0, printed, m).plans(Effort()) for m in printed.samples]
    assert plans == sorted(plans, reverse=True)
    assert plans[0] == 244
    assert plans[-1] == 10
    assert all(
        Cell(256, 0, printed, m).plans(Effort()) <= n
        for m, n in zip(printed.samples, plans, strict=True)
    )


def test_the_printed_estimator_is_tried_with_4096_samples_in_every_dimension() -> None:
    cells = list(make_cells(tuple(SHAPES), 2, BUILT_IN))
    most: dict[tuple[str, int], int] = {}
    for cell in cells:
        key = (cell.estimator.label, cell.dimension)
        most[key] = max(cell.samples, most.get(key, 0))
    assert [most[PRINTED, dimension] for dimension in SHAPES] == [4096] * 3
    assert [most["library", dimension] for dimension in SHAPES] == [1024, 256, 64]
    assert len({cell.key for cell in cells}) == len(cells)
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


def test_posteriors_of_plugins_are_compared_too(host: Host) -> None:
    assert {entry.label for entry in estimators(host)} == {entry.label for entry in BUILT_IN}
    covered = {entry.posterior.partition(":")[0] for entry in BUILT_IN}
    assert covered >= set(host.posteriors.names())
    guidances = {entry.guidance.partition(":")[0] for entry in BUILT_IN}
    assert guidances >= {"monte-carlo", "library", "hybrid", "reparameterized"}
    with pytest.raises(UsageError, match="unknown estimator 'libary'; did you mean 'library'"):
        chosen(host, ["libary"])
    assert [entry.label for entry in chosen(host, ["library", PRINTED])] == [PRINTED, "library"]


# -- The table and the verdict ----------------------------------------------------------------


def record(**values: Any) -> dict[str, Any]:
    return {
        "dimension": 32,
        "seed": 0,
        "estimator": PRINTED,
        "samples": 16,
        "plans": 4,
        "evaluations": 100.0,
        "seconds": 0.1,
        "cost": 1.0,
        "cost_variance": 1.0,
        "cost_median": 1.0,
        "energy_distance": 0.1,
        "mode_distance": 0.1,
        "mode_floor": 0.1,
        "wrong_modes": 0.0,
        "errors": {"0.5": 3.0},
        **values,
    }


def test_rows_are_means_over_seeds_with_a_standard_error() -> None:
    (row,) = summarise([record(), record(seed=1, cost=3.0, plans=16, errors={"0.5": 4.0})])
    assert row.cost == 2.0
    assert row.seeds == 2
    assert row.plans == 20
    assert row.cost_error == pytest.approx(math.sqrt(1 / 4 + 1 / 16) / 2)
    assert row.errors["0.5"] == pytest.approx(math.sqrt((9 + 16) / 2))


def test_what_failed_on_one_problem_has_no_row() -> None:
    failed = {"dimension": 32, "seed": 1, "estimator": PRINTED, "samples": 16, "failed": "why"}
    assert summarise([record(), failed]) == []


def test_the_csv_has_a_column_a_value() -> None:
    rows = summarise([record(), record(estimator="best-of", errors={})])
    lines = as_csv(rows).splitlines()
    assert lines[0].endswith("wrong_modes,error_0.5")
    assert lines[1].endswith(",0.0,3.0")
    assert lines[2].endswith(",0.0,")


ROLES = {PRINTED: Role.PRINTED, "ours": Role.GUIDANCE, "peer": Role.PEER, "bound": Role.BOUND}


def row(estimator: str, evaluations: float, cost: float, error: float = 0.01) -> Row:
    return attrs.evolve(
        summarise([record(estimator=estimator)])[0],
        evaluations=evaluations,
        cost=cost,
        cost_error=error,
        samples=int(evaluations),
    )


def decide(*rows: Row) -> Any:
    (verdict,) = verdicts(rows, ROLES, {32: {"π": 1.0}})
    return verdict


def test_the_claim_holds_at_a_tenth_of_the_evaluations_and_not_above() -> None:
    printed = (row(PRINTED, 100, 9.0), row(PRINTED, 1000, 1.4), row(PRINTED, 4000, 1.0))
    held = decide(*printed, row("ours", 100, 1.05))
    assert held.holds
    assert held.printed.evaluations == 1000
    assert held.best.evaluations == 100
    assert "1/10 of the evaluations: the claim holds" in held.sentence()
    failed = decide(*printed, row("ours", 101, 1.05))
    assert not failed.holds
    assert "the claim fails" in failed.sentence()


@pytest.mark.parametrize(("cost", "error"), [(1.11, 0.01), (0.89, 0.01), (1.0, 0.06)])
def test_too_high_too_low_and_unresolved_costs_are_not_within_ten_percent(
    cost: float, error: float
) -> None:
    verdict = decide(row(PRINTED, 1000, 1.4), row("ours", 10, cost, error))
    assert verdict.best is None
    assert not verdict.holds
    assert "No estimator is within 10 %. The claim fails." in verdict.sentence()


def test_the_printed_estimator_has_the_benefit_of_doubt() -> None:
    doubtful = decide(row(PRINTED, 100, 5.0, 2.0), row(PRINTED, 1000, 1.0), row("ours", 50, 1.0))
    assert doubtful.printed.evaluations == 100
    assert not doubtful.holds
    assert decide(row(PRINTED, 100, 0.2), row("ours", 10, 1.0)).printed_reaches


def test_a_printed_estimator_that_never_gets_there_is_said_to() -> None:
    verdict = decide(row(PRINTED, 100, 9.0), row(PRINTED, 4000, 5.0), row("ours", 400, 1.0))
    assert not verdict.printed_reaches
    assert verdict.printed.evaluations == 4000
    assert verdict.holds
    assert "never comes within 50 %; its last is M 4000, E[J]/λ 5.00" in verdict.sentence()


def test_bounds_do_not_count_and_guidances_are_named_apart() -> None:
    rows = (row(PRINTED, 1000, 1.4), row("bound", 1, 1.0), row("peer", 20, 1.0))
    verdict = decide(*rows, row("ours", 60, 0.95))
    assert verdict.best.estimator == "peer"
    assert verdict.best_guidance.estimator == "ours"
    assert decide(row("ours", 60, 0.95)).sentence().endswith("estimator was not measured.")


def test_equally_cheap_ones_are_told_apart_by_their_distance_to_pi() -> None:
    far, near = row("peer", 20, 1.0), attrs.evolve(row("ours", 20, 1.0), energy_distance=0.01)
    assert decide(row(PRINTED, 1000, 1.4), far, near).best is near


def test_the_conclusion_counts_dimensions() -> None:
    rows = [row(PRINTED, 1000, 1.4), row("ours", 60, 0.95)]
    rows += [attrs.evolve(entry, dimension=64, cost=9 * entry.cost) for entry in rows]
    found = verdicts(rows, ROLES, {32: {"π": 1.0, "other": 5.0}, 64: {"π": 1.0, "other": 5.0}})
    assert conclusions(found) == [
        "Against π the claim holds in 1 of 2 dimensions.",
        "Against other the claim holds in 0 of 2 dimensions.",
    ]


# -- The folder and the progress --------------------------------------------------------------


def test_a_torn_cell_is_measured_again(tmp_path: Path) -> None:
    folder = BenchmarkFolder(tmp_path / "bench")
    folder.prepare({"configuration": {"seeds": 1}})
    folder.commit({"cell": 1})
    with folder.file("cells.jsonl").open("a") as stream:
        stream.write('{"cell": 2')
    assert folder.cells() == [{"cell": 1}]
    folder.commit({"cell": 3})
    assert folder.cells() == [{"cell": 1}, {"cell": 3}]


def test_a_folder_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    folder = BenchmarkFolder(tmp_path, ("result.json",))
    folder.prepare({"configuration": {"seeds": 1}})
    folder.commit({"cell": 1})
    folder.file("result.json").write_text("{}")
    with pytest.raises(UsageError, match=r"already holds a benchmark \(1 cells\)"):
        folder.prepare({"configuration": {"seeds": 1}})
    folder.prepare({"configuration": {"seeds": 1}}, resume=True)
    with pytest.raises(UsageError, match="seeds was 1 and is now 2"):
        folder.prepare({"configuration": {"seeds": 2}}, resume=True)
    folder.prepare({"configuration": {"seeds": 2}}, overwrite=True)
    assert folder.cells() == []
    assert not folder.file("result.json").exists()
    folder.file("config.json").write_text("[]")
    with pytest.raises(UsageError, match="is damaged"):
        folder.prepare({"configuration": {"seeds": 2}}, resume=True)


def test_the_time_left_is_extrapolated_from_this_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert time_left(10, 0.1, 0.9) == "1 min 30 s"
    assert time_left(10, 0.5, 0.5) == "10 s"
    assert time_left(10, 0.0, 1.0) == "unknown time"
    with PlainCells(period=0.0) as progress:
        progress.show(0.5, "first")
        progress.show(0.75, "second")
    assert "75% done, 0 s left; next: second" in capsys.readouterr().err
