"""Grids: one table of many runs, shared by processes, whatever kills them."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from plugin_path import environment, install_bad_costs, install_example

from codi_core import experiments
from codi_core.errors import CodiError, CostError, MissingExtraError, UsageError
from codi_core.experiments import waves, working
from codi_core.experiments.grid import Grid
from codi_core.files.durable import append_lines, read_lines
from codi_core.files.folders import DATA_SET, GRID, claim, claimed, kind_of, visible

TASK = "example-points"
ROWS: dict[str, dict[str, Any]] = {
    "printed": {},
    "matched, near": {"posterior": "matched", "task_options": {"starts": [-0.1, 0.1]}},
    "base": {"method": "base"},
}
SHARED = {"episodes": 6, "worlds": 2, "max_seconds": 0.8, "seed": 3}
TIMES = {"plan_ms_per_world"}


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    install_example(folder)
    install_bad_costs(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def grid(output: str = "out", rows: Any = None, **shared: Any) -> Grid:
    return Grid(TASK, rows or ROWS, output=output, shared={**SHARED, **shared})


def timeless(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if name not in TIMES} for row in records]


def stored(output: str = "out") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(Path(output, "results.json").read_text())["rows"]
    return rows


def episodes(output: str = "out") -> dict[str, list[dict[str, Any]]]:
    """Each row's records in the order of their numbers."""
    return {
        label: sorted(
            read_lines(Path(output, label, "episodes.jsonl")), key=lambda record: record["episode"]
        )
        for label in ROWS
    }


@pytest.fixture
def undisturbed() -> list[dict[str, Any]]:
    whole = grid("whole")
    assert whole.run(progress=False)
    return timeless(whole.rows())


# -- The table --------------------------------------------------------------------------------


def test_each_row_is_a_run_and_the_table_says_what_differs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = grid()
    assert made.rows() == []
    assert made.run()
    rows = made.rows()
    assert [row["row"] for row in rows] == list(ROWS)
    assert list(rows[0])[:5] == ["row", "method", "posterior", "starts", "episodes"]
    assert [row["method"] for row in rows] == ["codi", "codi", "base"]
    assert rows[1]["starts"] == (-0.1, 0.1)
    assert [(row["episodes"], row["missing"]) for row in rows] == [(6, 0)] * 3
    assert rows[0]["rollouts_per_replan"] == 8 * 64
    assert rows[2]["rollouts_per_replan"] == 0
    assert rows[1]["successes"] == 4
    assert rows[1]["min_gap_m median"] < 0.1 < rows[2]["min_gap_m median"]
    assert "18/18 episodes (100%)" in capsys.readouterr().err

    # A row is what codi-run makes of the same options.
    alone = experiments.run(TASK, output="alone", progress=False, **SHARED)
    row = experiments.read_run("out/printed")
    assert row.finished
    assert row.episodes == alone.episodes
    assert row.metrics["success_rate"] == alone.metrics["success_rate"] == rows[0]["success_rate"]
    assert sorted(row.traces) == [0, 1, 2, 3]
    assert json.loads(Path("out/printed/metrics.json").read_text())["episodes"] == 6


def test_the_files_hold_the_table() -> None:
    made = grid()
    made.run(progress=False)
    frame = made.table()
    with Path("out/results.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    document = json.loads(Path("out/results.json").read_text())
    rows = json.loads(json.dumps(made.rows()))
    assert document["rows"] == rows
    assert document["shared"]["seed"] == 3
    assert "posterior" not in document["shared"]
    assert list(frame.columns) == list(lines[0]) == list(rows[0])
    assert frame["success_rate"].tolist() == [row["success_rate"] for row in rows]
    assert [float(line["success_high"]) for line in lines] == frame["success_high"].tolist()
    assert lines[1]["starts"] == frame["starts"][1] == "-0.1 0.1"
    assert not list(Path("out").glob("*.part"))


def test_numbers_are_as_computed_by_hand() -> None:
    made = grid(rows={"some": {}, "none": {}}, episodes=10, max_seconds=7.0)
    records = [
        {"episode": n, "success": n < 8, "completion_time_s": 1.0 + n, "min_gap_m": 0.5}
        for n in range(9)
    ]
    broken = {"episode": 9, "success": False, "completion_time_s": None, "error": "KeyError: 'x'"}
    wave = {
        "episodes": list(range(10)),
        "replan_seconds": [0.2, 0.4],
        "world_plans": 15,
        "counts": {"rollouts": 3000},
        "stage_seconds": {"plan": 0.6},
        "series": {},
    }
    for label, kept in (("some", [*records, broken]), ("none", [])):
        run = made._runs[label]
        run.prepare(run.experiment.document(["a test"]))
        if kept:
            run.folder.commit(wave, kept)
    some, none = made.rows()
    # Wilson (1927) for 8 of 10: (0.8 + 1.92073) / 1.384146 = 0.716738 in the middle, and
    # 1.959964 / 1.384146 · sqrt(0.8 · 0.2 / 10 + 3.841459 / 400) = 0.226573 to each side.
    assert some["successes"] == 8
    assert some["success_rate"] == 0.8
    assert some["success_low"] == pytest.approx(0.490162, abs=2e-6)
    assert some["success_high"] == pytest.approx(0.943318, abs=2e-6)
    assert some["mean_seconds"] == pytest.approx((sum(range(1, 9)) + 7 + 7) / 10)
    assert some["median_seconds"] == 5.5
    assert some["rollouts_per_replan"] == 200
    assert some["plan_ms_per_world"] == pytest.approx(40.0)
    assert (some["errors"], some["error_reasons"]) == (1, {"KeyError: 'x'": 1})
    assert some["min_gap_m median"] == 0.5
    assert (none["episodes"], none["missing"], none["success_rate"]) == (0, 10, None)
    assert (none["success_low"], none["success_high"]) == (0.0, 1.0)
    assert made.table()["error_reasons"].tolist() == ["1 x KeyError: 'x'", ""]


def test_without_pandas_the_table_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    made = grid(episodes=1)
    assert made.run(only=["base"], progress=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'codi-core\[data\]'"):
        made.table()
    assert [row["row"] for row in made.rows()] == ["base"]


# -- Mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "row 'bad': --samples: must be a whole number of at least 1"),
        ({"sample": 8}, "row 'bad': a run has no options called sample"),
        ({"method": 3}, "row 'bad': --method: must be a text, not 3"),
        (
            {"cost": ["gap", 1]},
            "row 'bad': --cost: must be values that are each a text, not ('gap', 1)",
        ),
        ({"cost": 1.5}, "row 'bad': --cost: must be several values, not 1.5"),
        ({"task_options": 3}, "row 'bad': options are values by name, not 3"),
        ("base", "row 'bad': options are values by name, not 'base'"),
        ({"preset": "slow"}, "row 'bad': unknown preset of task 'example-points' 'slow'"),
        ({"task_options": {"start": 1}}, "row 'bad': task 'example-points' has no option 'start'"),
        ({"task": "example-pints"}, "row 'bad': unknown task 'example-pints'; did you mean"),
    ],
)
def test_a_mistake_in_one_row_shows_before_anything_runs(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        grid(rows={**ROWS, "bad": options})
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"posterior": "isotropc"}, "did you mean 'isotropic'"),
        ({"cost": "gap:weight=2"}, "row 'bad': "),
        ({"simulator": "mujoco"}, "simulates by itself"),
        ({"guidance": "hybrid:switch=near"}, "switch='near'"),
    ],
)
def test_parts_that_do_not_exist_show_before_anything_runs(
    options: dict[str, Any], message: str
) -> None:
    made = grid(rows={**ROWS, "bad": options})
    with pytest.raises(UsageError, match="row 'bad'") as caught:
        made.run(progress=False)
    assert message in str(caught.value)
    assert not Path("out").exists()


@pytest.mark.parametrize("label", ["a/b", "", ".hidden", "..", "results.json", "a:b", 1])
def test_labels_are_names_of_folders(label: Any) -> None:
    with pytest.raises(UsageError, match="its label names a folder"):
        grid(rows={label: {}})


def test_a_grid_without_rows_is_none() -> None:
    with pytest.raises(UsageError, match="needs rows"):
        Grid(TASK, {}, output="out")


def test_only_rows_that_exist_can_be_chosen() -> None:
    with pytest.raises(UsageError, match="unknown row 'prnted'; did you mean 'printed'"):
        grid().run(only=["prnted"], progress=False)


def test_a_row_that_fails_does_not_stop_the_others() -> None:
    made = grid(rows={"bad": {"cost": "raising"}, **ROWS}, episodes=2)
    with pytest.raises(CodiError, match=r"row 'bad' stopped: .*KeyError") as caught:
        made.run(progress=False)
    assert isinstance(caught.value.__cause__, CostError)
    assert caught.value.exit_code == CostError.exit_code
    assert {row["row"]: row["episodes"] for row in stored()} == {
        "bad": 0,
        **dict.fromkeys(ROWS, 2),
    }


def test_another_configuration_in_the_same_folder_is_refused() -> None:
    assert grid(episodes=2).run(progress=False)
    changed = grid(episodes=2, samples=8)
    with pytest.raises(UsageError, match="cannot resume 'out/printed': samples was 64 and is now"):
        changed.rows()
    with pytest.raises(UsageError, match="cannot resume 'out/printed'"):
        changed.run(progress=False)
    with pytest.raises(UsageError, match="already holds a run"):
        grid(episodes=2).run(progress=False, resume=False)
    assert changed.run(progress=False, overwrite=True)
    assert {row["rollouts_per_replan"] for row in stored()} == {0, 64}


def test_a_folder_that_holds_something_else_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with claimed(Path("data"), DATA_SET):
        Path("data/meta").mkdir()
    monkeypatch.setattr(waves, "run_wave", lambda *_, **__: pytest.fail("episodes are run"))
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="'data' holds a data set, not a grid"):
            grid("data").run(overwrite=overwrite, progress=False)
    assert visible(Path("data")) == ["meta"]


def test_a_grids_folder_is_no_place_for_a_run() -> None:
    assert grid().run(progress=False)
    assert kind_of(Path("out")) == GRID
    with pytest.raises(UsageError, match="'out' holds a grid, not a run"):
        experiments.run("example-points", output="out", episodes=1, progress=False)


def test_a_grid_may_grow() -> None:
    assert grid(episodes=2).run(progress=False)
    before = episodes()
    assert grid(episodes=4).run(progress=False)
    assert {label: found[:2] for label, found in episodes().items()} == before
    assert {row["episodes"] for row in stored()} == {4}
    assert {row["episodes"] for row in grid(episodes=2).rows()} == {2}


# -- Interruptions ----------------------------------------------------------------------------

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from codi_core.experiments import Grid
{patches}
grid = Grid({task!r}, {rows!r}, output="out", shared={shared!r})
finished = grid.run(progress=False)
print(json.dumps([finished, grid.rows()]))
"""

KILL = "os.kill(os.getpid(), signal.SIGKILL)"
IN_A_WAVE = f"""
from codi_core.evaluation.waves import WaveRunner
together = WaveRunner._together
def dying(self, numbers, traced, on_tick):
    def tick(number):
        if 4 in numbers and number == 3 and Path("out/printed/metrics.json").exists():
            {KILL}
    return together(self, numbers, traced, tick)
WaveRunner._together = dying
"""
BETWEEN_TWO_FILES = f"""
from codi_core.evaluation import run_folder
append = run_folder.append_lines
def dying(path, items):
    items = list(items)
    if path.name == "episodes.jsonl" and items[0]["episode"] == 4:
        {KILL}
    append(path, items)
run_folder.append_lines = dying
"""
IN_A_LINE = f"""
from codi_core.evaluation import run_folder
append = run_folder.append_lines
def dying(path, items):
    items = list(items)
    append(path, items)
    if path.name == "episodes.jsonl" and items[0]["episode"] == 4:
        size = len((json.dumps(items[-1]) + "\\n").encode())
        os.truncate(path, path.stat().st_size - 2 * size + 10)
        {KILL}
run_folder.append_lines = dying
"""
WRITING_RESULTS = f"""
from codi_core.experiments import grid as module
write = module.write_durably
def dying(path, text):
    if path.name == "results.csv" and '"episodes": 4' in Path("out/results.json").read_text():
        path.with_suffix(".csv.part").write_text(text[:20])
        {KILL}
    write(path, text)
module.write_durably = dying
"""


def script(patches: str = "") -> list[str]:
    text = SCRIPT.format(patches=patches, task=TASK, rows=ROWS, shared=SHARED)
    return [sys.executable, "-c", text]


@pytest.mark.parametrize(
    "patches", [IN_A_WAVE, BETWEEN_TWO_FILES, IN_A_LINE, WRITING_RESULTS], ids=range(4)
)
def test_a_killed_grid_goes_on_to_the_table_of_an_undisturbed_one(
    patches: str, site: Path, undisturbed: list[dict[str, Any]]
) -> None:
    killed = subprocess.run(script(patches), env=environment(site), check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    made = grid()
    done = sum(row["episodes"] for row in made.rows())
    assert 0 < done < 18
    assert made.run(progress=False)
    assert timeless(made.rows()) == undisturbed
    assert episodes() == episodes("whole")
    assert not list(Path("out").glob("*/*.part"))


def test_ctrl_c_keeps_what_has_finished(
    monkeypatch: pytest.MonkeyPatch, undisturbed: list[dict[str, Any]]
) -> None:
    calls = []

    def interrupting(*arguments: Any, **options: Any) -> Any:
        calls.append(options["numbers"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return waves.run_wave(*arguments, **options)

    monkeypatch.setattr("codi_core.experiments.grid.run_wave", interrupting)
    assert not grid().run(progress=False)
    assert [row["episodes"] for row in stored()] == [4, 0, 0]
    assert grid().run(progress=False)
    assert calls[2] == calls[3] == (4, 5)
    assert len(calls) == 10
    assert timeless(grid().rows()) == undisturbed


# -- Several processes ------------------------------------------------------------------------

LOG_AND_MEET = """
from codi_core.evaluation.waves import WaveRunner
run = WaveRunner.run
def logged(self, numbers, *rest):
    wave = run(self, numbers, *rest)
    with open(f"log-{os.getpid()}", "a") as log:
        print(self.loop.planner.__class__.__name__, *numbers, file=log)
    time.sleep(0.05)
    return wave
WaveRunner.run = logged
from codi_core.experiments import grid as module
work_off = module.work_off
def meet(*arguments):
    Path(f"here-{os.getpid()}").touch()
    while len(list(Path().glob("here-*"))) < 2:
        time.sleep(0.01)
    return work_off(*arguments)
module.work_off = meet
"""


def test_two_processes_run_every_episode_once(
    site: Path, undisturbed: list[dict[str, Any]]
) -> None:
    made = [
        subprocess.Popen(
            script(LOG_AND_MEET), env=environment(site), stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in made]
    logs = [path.read_text().splitlines() for path in Path().glob("log-*")]
    assert len(logs) == 2, "one process did all the work"
    ran = Counter(line for log in logs for line in log)
    # Two rows are guided, one is not; their waves have the same numbers.
    expected = {f"CoordinatedPolicy {numbers}": 3 for numbers in ("0 1", "2 3", "4 5")}
    assert sum(ran.values()) == 9
    assert {line.partition(" ")[2] for line in ran} == {"0 1", "2 3", "4 5"}
    assert all(count <= expected.get(line, 3) for line, count in ran.items())
    assert episodes() == episodes("whole")
    for text in said:
        finished, rows = json.loads(text)
        assert finished
        assert timeless(rows) == json.loads(json.dumps(undisturbed))
    assert timeless(stored()) == json.loads(json.dumps(undisturbed))


def test_what_others_run_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made = grid()
    held = claim(Path("out/printed/.claims/wave-1.lock"))
    assert held is not None
    assert not made.run(progress=False, wait=False)
    assert {row["row"]: row["missing"] for row in stored()} == {
        "printed": 2,
        "matched, near": 0,
        "base": 0,
    }
    with pytest.raises(UsageError, match="another process is running 'out/printed'"):
        made.run(progress=False, overwrite=True)
    assert len(episodes()["base"]) == 6

    def others_end(seconds: float) -> None:
        held.release()

    # Waiting, it takes over what the other process leaves behind.
    monkeypatch.setattr(working.time, "sleep", others_end)
    assert made.run(progress=False)
    assert [record["episode"] for record in episodes()["printed"]] == list(range(6))


def test_rows_that_others_have_begun_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    order = []

    def noted(*arguments: Any, **options: Any) -> Any:
        configuration = options["configuration"]
        order.append((configuration["method"], configuration["posterior"]))
        return waves.run_wave(*arguments, **options)

    monkeypatch.setattr("codi_core.experiments.grid.run_wave", noted)
    lead = claim(Path("out/printed/.claims/run.lock"))
    assert lead is not None
    assert grid(episodes=2).run(progress=False)
    assert order == [("codi", "matched"), ("base", "isotropic"), ("codi", "isotropic")]
    lead.release()


def test_a_wave_that_somebody_else_has_kept_is_not_kept_twice() -> None:
    made = grid(episodes=2)
    assert made.run(only=["base"], progress=False)
    run = made._runs["base"]
    run.keep(waves.run_wave(run.configuration, [0, 1]))
    assert [record["episode"] for record in episodes_of("base")] == [0, 1]


def episodes_of(label: str) -> list[dict[str, Any]]:
    return read_lines(Path("out", label, "episodes.jsonl"))


# -- Executors --------------------------------------------------------------------------------


def test_a_pool_of_processes_gives_the_same_records(undisturbed: list[dict[str, Any]]) -> None:
    made = grid()
    with experiments.worker_pool(2) as pool:
        assert made.run(progress=False, executor=pool, in_flight=3)
    assert timeless(made.rows()) == undisturbed
    assert episodes() == episodes("whole")
    assert sorted(experiments.read_run("out/base").traces) == [0, 1, 2, 3]


def test_errors_come_back_from_a_pool() -> None:
    made = grid(rows={"bad": {"cost": "raising"}, "base": ROWS["base"]}, episodes=2)
    with experiments.worker_pool(1) as pool:
        with pytest.raises(UsageError, match=r"row 'typo': .*did you mean 'isotropic'"):
            grid(rows={"typo": {"posterior": "isotropc"}}).run(progress=False, executor=pool)
        with pytest.raises(CodiError, match=r"row 'bad' stopped: .*KeyError"):
            made.run(progress=False, executor=pool)
    assert [row["episodes"] for row in made.rows()] == [0, 2]


def test_a_pool_whose_process_dies_says_that_the_rest_is_kept() -> None:
    import os

    with experiments.worker_pool(1) as pool:
        pool.submit(os.getpid).result()
        pool.submit(os._exit, 1)
        with pytest.raises(CodiError, match="has died, perhaps for want of memory"):
            grid().run(progress=False, executor=pool)
    assert grid().run(progress=False)


def test_workers_end_with_the_process_that_started_them(site: Path) -> None:
    text = """
import os, time
from codi_core.experiments import worker_pool
pool = worker_pool(1)
print(pool.submit(os.getpid).result(), flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", text]
    with subprocess.Popen(
        command, env=environment(site), stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
        # Its end of the pipe closes when the worker ends too.
        assert parent.stdout.read() == ""
    assert not Path(f"/proc/{worker}").exists() or "Z" in Path(f"/proc/{worker}/stat").read_text()


# -- Waves ------------------------------------------------------------------------------------


def test_parts_are_made_once_for_waves_of_one_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def noted(configuration: Any) -> Any:
        made.append(configuration["seed"])
        return from_config(configuration)

    from_config = waves.from_config
    monkeypatch.setattr(waves, "from_config", noted)
    checkpoint = Path("policy.safetensors")
    checkpoint.write_text("first")
    first, second = (
        grid(rows={"base": {"method": "base", "checkpoint": str(checkpoint)}}, seed=seed)
        ._runs["base"]
        .configuration
        for seed in (1, 2)
    )
    wave = waves.run_wave(first, [0])
    assert waves.run_wave(first, [0]).records == wave.records
    assert made == [1]
    waves.run_wave(second, [0])
    waves.run_wave(first, [1])
    assert made == [1, 2, 1]
    # Training has put another policy in the place of the first one.
    checkpoint.write_text("second")
    waves.run_wave(first, [2])
    assert made == [1, 2, 1, 1]
    waves.end_waves()
    waves.run_wave(first, [2])
    assert made == [1, 2, 1, 1, 1]


def test_lines_are_read_while_others_append(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_lines(path, [{"n": 1}, {"n": 2}])
    with path.open("ab") as other:
        other.write(b'{"n": ')
        other.flush()
        assert read_lines(path) == [{"n": 1}, {"n": 2}]
        other.write(b"3}\n")
    assert read_lines(path) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_all_errors_cross_between_processes() -> None:
    import pickle

    for error in (MissingExtraError("pictures", "plots"), UsageError("no"), CostError("gap")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
