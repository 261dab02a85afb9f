"""What the paper job draws and writes, from results that are made up."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
from PIL import Image

from codi_baselines.paper import starts
from codi_baselines.paper.figures import COMPARISONS, write_comparisons
from codi_baselines.paper.outcomes import Measures
from codi_baselines.paper.page import film, write_page
from codi_baselines.paper.panels import canvas, draw_distribution, draw_happenings, draw_success
from codi_baselines.paper.rows import ROWS
from codi_baselines.paper.styles import line_of
from codi_baselines.paper.table import cells, columns, plan_columns, record
from codi_core.data import DatasetWriter, FeatureSpec
from tests.baselines.paper_outcomes import outcome, outcomes

MEASURES = Measures()


def test_every_figure_is_written_and_is_not_empty(tmp_path: Path) -> None:
    paths = write_comparisons(tmp_path, outcomes({"codi": {"successes": 55}}), MEASURES)
    assert [path.name for path in paths] == [comparison.file for comparison in COMPARISONS]
    for path in paths:
        with Image.open(path) as image:
            assert image.width > 900
            assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 50
    known = {row.label for row in ROWS}
    assert all(known.issuperset(comparison.rows) for comparison in COMPARISONS)


def test_figures_show_the_rows_that_there_are(tmp_path: Path) -> None:
    found = {"cg-joint-200": outcome("cg-joint-200")}
    assert [path.name for path in write_comparisons(tmp_path, found, MEASURES)] == ["figure-5.png"]


def test_rows_of_a_figure_look_unlike_one_another() -> None:
    for comparison in COMPARISONS:
        looks = {(line_of(row)["color"], line_of(row)["ls"]) for row in comparison.rows}
        assert len(looks) == len(comparison.rows), comparison.file


def test_a_failure_has_no_time_and_ends_below_one() -> None:
    _, (axes,) = canvas(1, "")
    draw_distribution(axes, [outcome("codi", successes=45, seconds=10.0)], "time", "time [s]")
    (line,) = axes.get_lines()
    x, y = (np.asarray(values) for values in line.get_data())
    assert x.tolist() == [10, 10, 11, 12, 13, 14, 60]
    assert y == pytest.approx([0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.75])
    assert axes.get_xlim() == (0, 60)


def test_distances_are_in_centimetres() -> None:
    _, (axes,) = canvas(1, "")
    found = [outcome("codi", distance=0.02), outcome("base", distance=0.5)]
    draw_distribution(axes, found, "min_goal_distance_m", "closest [cm]", logarithmic=True)
    near, far = (np.asarray(line.get_xdata()) for line in axes.get_lines())
    assert near[0] == pytest.approx(2.0)
    assert near[-1] == far[-1] == pytest.approx(65.0)
    assert axes.get_xscale() == "log"


def test_bars_are_shares_with_their_intervals() -> None:
    _, (success, collisions) = canvas(2, "")
    found = [outcome("codi", successes=45), outcome("codi-indep", collided=30)]
    draw_success(success, found)
    assert [bar.get_height() for bar in success.patches] == pytest.approx([75, 100 / 3])
    draw_happenings(collisions, found, "simultaneous_approaches")
    assert [bar.get_height() for bar in collisions.patches] == [0, 0]
    assert [text.get_text() for text in collisions.texts] == ["0 an episode"] * 2
    draw_happenings(success, [outcome("codi", approached=30)], "simultaneous_approaches")
    assert success.patches[-1].get_height() == 50
    assert success.texts[-1].get_text() == "1 an episode"


def test_starts_come_from_data_sets_or_from_episodes(tmp_path: Path) -> None:
    features = {"state.cube": FeatureSpec((3,)), "action": FeatureSpec((1,))}
    with DatasetWriter(tmp_path / "data", features, 10, "toy") as writer:
        for number in range(10):
            cube = np.full((4, 3), float(number))
            cube[1:] += 100
            writer.add_episode({"state.cube": cube, "action": np.zeros((4, 1))}, "pick")
    found = starts.starts_of_data(tmp_path / "data", "state.cube")
    assert found.tolist() == [[number, number] for number in range(10)]
    assert starts.few(found).tolist() == [[0, 0], [1, 1]]

    of_episodes = starts.starts_of_episodes(outcome("codi"), "start")
    assert of_episodes[2] == pytest.approx([0.02, -0.01])
    assert len(starts.starts_of_episodes(outcome("codi"), "made_up")) == 0
    groups = {"all": found, "the episodes": of_episodes}
    assert starts.write_starts(tmp_path, groups).stat().st_size > 5000


def test_the_table_has_what_was_worked_out_by_hand() -> None:
    found = outcome(
        "codi-indep",
        successes=45,
        distance=0.1,
        seconds=10.0,
        collided=15,
        rollouts_per_replan=1024.0,
        diagnostics={"effective_sample_size": 20.5},
        warnings={"unguided_steps": 1200, "nan_costs": 0},
    )
    row = record(found, MEASURES)
    assert row["success_rate"] == 0.75
    assert row["distance_median"] == pytest.approx(0.115)
    assert row["seconds_mean"] == pytest.approx((45 * 12 + 15 * 60) / 60)
    assert (row["collisions_per_episode"], row["collisions_share"]) == (0.25, 0.25)
    assert row["interventions_per_episode"] == pytest.approx(2.5)
    assert row["failures_distance_median"] == pytest.approx(0.115)
    headings, lines = cells([row], columns(MEASURES))
    assert headings[2] == "closest [cm], median / p95"
    assert "broken" not in headings
    assert lines[0][:4] == [
        "CoDi-Indep.",
        "45 of 60: 75.0 % (62.8 to 84.2 %)",
        "11.5 / 13",
        "24.0 / 13.0",
    ]
    assert cells([row], plan_columns(MEASURES))[1] == [
        ["CoDi-Indep.", "1024", "20.5 of 64", "unguided steps: 1,200", "11.5"]
    ]


def test_failures_are_listed_with_the_command_that_films_them(tmp_path: Path) -> None:
    found = outcomes({"codi": {"successes": 57}, "base": {"successes": 60}})
    folder = tmp_path / "runs of mine"
    folder.mkdir()
    page = write_page(folder, "a title", found, MEASURES, {}, ["codi-bench", "paper"]).read_text()
    assert "CoDi, 3 of 60: 57, 58, 59\n" in page
    assert "policies alone, " not in page.partition("## Failures")[2]
    assert film(Path("out"), found["codi"], [57, 58]) == (
        "codi-run --from out/codi --episodes 60 --video-episodes 57 58 --output out-films/codi"
    )
    # The wave of 25 worlds as a whole, up to the run's last episode.
    assert "--episodes 50 " in film(Path("out"), found["codi"], [30])
    assert f"--from '{folder}/codi'" in page


def test_a_broken_episode_is_counted() -> None:
    found = outcome("codi", starts=4)
    broken = {"episode": 3, "success": False, "completion_time_s": None, "error": "no plan"}
    found = attrs.evolve(found, records={**found.records, 3: broken})
    headings, lines = cells([record(found, MEASURES)], columns(MEASURES))
    assert dict(zip(headings, lines[0], strict=True))["broken"] == "1"
