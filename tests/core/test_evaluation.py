"""Waves, run folders and metrics."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codi_core.errors import UsageError
from codi_core.evaluation import run_folder
from codi_core.evaluation.metrics import mean_series, run_metrics
from codi_core.evaluation.progress import PlainProgress, Silent, Tally
from codi_core.evaluation.report import make_report
from codi_core.evaluation.run_folder import RunFolder
from codi_core.evaluation.video import PictureError, write_gif, write_video
from codi_core.evaluation.waves import wave_summary, world_trace
from codi_core.execution import Replan, Rollout
from codi_core.files.durable import read_lines
from codi_core.files.folders import exclusive
from codi_core.tasks import EpisodeRecord, Metrics, Renderer

CONFIG: dict[str, Any] = {
    "configuration": {"task": "t", "seed": 1, "episodes": 4, "cost": ("gap=1.0",), "threads": 1}
}


class CountingMetrics(Metrics):
    """Counts records."""

    def episode(self, events: Mapping[str, Any], dt: float) -> EpisodeRecord:
        return {}

    def summary(self, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
        return {"records": len(records)}


def records(*numbers: int, success: bool = True) -> list[EpisodeRecord]:
    return [
        {"episode": n, "success": success, "completion_time_s": 2.0 + n if success else None}
        for n in numbers
    ]


SERIES = {"effective_sample_size": (2.0, 4.0)}


def wave(*numbers: int, seconds: Sequence[float] = (0.1,), **counts: int) -> dict[str, Any]:
    replans = [
        Replan(0.0, s, counts if i == 0 else {}, {"plan": s}, SERIES, len(numbers))
        for i, s in enumerate(seconds)
    ]
    return wave_summary(numbers, replans)


def test_metrics_have_exactly_the_agreed_keys_and_values() -> None:
    configuration = {
        "task": "t",
        "method": "codi",
        "predictor": "p",
        "seed": 1,
        "max_seconds": 60.0,
    }
    metrics = run_metrics(
        configuration,
        [*records(0, 1), *records(2, 3, success=False)],
        [
            wave(0, 1, 2, seconds=(0.1, 0.3), rollouts=600, nan_costs=7),
            wave(3, seconds=(0.2,), rollouts=100),
        ],
        CountingMetrics(),
    )
    assert list(metrics) == [
        "task",
        "method",
        "episodes",
        "success_rate",
        "success_interval_95",
        "completion_time_s",
        "replan_latency_s",
        "late_replans",
        "rollouts_per_replan",
        "predictor",
        "seed",
        "warnings",
        "errors",
        "task_metrics",
        "costs",
        "diagnostics",
    ]
    assert (metrics["episodes"], metrics["success_rate"]) == (4, 0.5)
    assert metrics["success_interval_95"] == pytest.approx([0.1500, 0.8500], abs=1e-4)
    assert metrics["completion_time_s"] == {"mean": (2 + 3 + 60 + 60) / 4, "median": 31.5}
    assert metrics["replan_latency_s"] == {"median": 0.2, "p95": pytest.approx(0.29)}
    assert metrics["rollouts_per_replan"] == 700 / 7  # 2 plans of 3 worlds, 1 plan of 1 world
    assert metrics["warnings"] == {
        "nan_costs": 7,
        "unguided_steps": 0,
        "failed_predictions": 0,
        "lost_gradients": 0,
        "shortened_plans": 0,
    }
    assert metrics["task_metrics"] == {"records": 4}
    assert metrics["diagnostics"]["effective_sample_size"] == 3.0
    assert metrics["diagnostics"]["stage_seconds_per_replan"]["plan"] == pytest.approx(0.2)


def test_a_run_without_episodes_has_metrics() -> None:
    configuration = {
        "task": "t",
        "method": "codi",
        "predictor": "p",
        "seed": 1,
        "max_seconds": 60.0,
    }
    metrics = run_metrics(configuration, [], [], CountingMetrics())
    assert metrics["success_rate"] is None
    assert metrics["success_interval_95"] == [0.0, 1.0]
    json.dumps(metrics, allow_nan=False)


def test_series_are_weighted_by_episodes() -> None:
    waves = [
        {"episodes": [0, 1, 2], "series": {"x": [1.0, 2.0]}},
        {"episodes": [3], "series": {"x": [5.0, 2.0, 9.0]}},
    ]
    assert mean_series(waves) == {"x": [2.0, 2.0]}


def test_an_episode_ends_with_its_own_last_row_whatever_its_wave_does() -> None:
    rollout = Rollout({"x": np.arange(10).reshape(5, 2)}, np.array([3, 5]), ())
    assert world_trace(rollout, 0)["x"].tolist() == [0, 2, 4]
    assert world_trace(rollout, 1)["x"].tolist() == [1, 3, 5, 7, 9]


def test_a_folder_keeps_waves_and_episodes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "run")
    folder.prepare(CONFIG)
    folder.commit(wave(2, 3), records(2, 3))
    folder.commit(wave(0, 1), records(0, 1))
    assert [record["episode"] for record in folder.records()] == [0, 1, 2, 3]
    assert [found["episodes"] for found in folder.waves()] == [[2, 3], [0, 1]]


def test_a_torn_line_is_dropped_and_does_not_damage_the_next(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare(CONFIG)
    folder.commit(wave(0), records(0))
    with folder.file("episodes.jsonl").open("a") as stream:
        stream.write('{"episode": 1, "succ')
    assert [record["episode"] for record in folder.records()] == [0]
    folder.commit(wave(1), records(1))
    assert [record["episode"] for record in folder.records()] == [0, 1]


def test_a_wave_whose_episodes_were_never_written_does_not_count(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare(CONFIG)
    folder.commit(wave(0, 1, seconds=(9.0,)), [])  # killed between the two files
    folder.commit(wave(2, 3), records(2, 3))
    assert [found["episodes"] for found in folder.waves()] == [[2, 3]]
    folder.commit(wave(0, 1, seconds=(1.0,)), records(0, 1))
    assert [found["replan_seconds"] for found in folder.waves()] == [[0.1], [1.0]]


def test_waves_of_one_episode_are_counted_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare(CONFIG)
    folder.commit(wave(0, 1, seconds=(9.0,)), [])  # killed; then more episodes were asked for
    folder.commit(wave(0, 1, 2, seconds=(1.0,)), records(0, 1, 2))
    assert [found["replan_seconds"] for found in folder.waves()] == [[1.0]]


def test_delays_to_replay_are_there_before_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed between the two must not be resumed with other delays."""
    folder, order = RunFolder(tmp_path), []
    write = run_folder.write_durably

    def noting(path: Path, content: str) -> None:
        order.append(path.name)
        write(path, content)

    monkeypatch.setattr(run_folder, "write_durably", noting)
    folder.prepare(CONFIG, delays={1: [0.1, 0.2]})
    assert order == ["delays.json", "config.json"]
    folder.prepare(CONFIG, resume=True)
    assert folder.replayed_delays() == {1: [0.1, 0.2]}
    folder.prepare(CONFIG, overwrite=True)
    assert folder.replayed_delays() == {}


def test_what_a_full_disk_does_not_take_is_not_written_in_part(tmp_path: Path) -> None:
    lines = [{"n": number, "text": "x" * 300} for number in range(3)]
    script = f"""
import resource, signal
from pathlib import Path
from codi_core.evaluation.run_folder import RunFolder
folder = RunFolder(Path({str(tmp_path)!r}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
lines = {lines!r}
folder.commit({{"episodes": [0]}}, lines)
folder.commit({{"episodes": [1]}}, lines)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "UsageError: cannot write the run folder" in done.stderr
    assert read_lines(tmp_path / "episodes.jsonl") == lines
    assert len((tmp_path / "episodes.jsonl").read_bytes()) < 1200


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    for damaged in ("{", "[]"):
        (tmp_path / "episodes.jsonl").write_text('{"episode": 0}\n' + damaged + "\n")
        with pytest.raises(UsageError, match=r"episodes\.jsonl' is damaged in line 2"):
            RunFolder(tmp_path).records()


def test_an_existing_run_is_neither_overwritten_nor_resumed_by_accident(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare(CONFIG)
    folder.commit(wave(0), records(0))
    with pytest.raises(UsageError, match=r"already holds a run \(1 finished episodes\).*--resume"):
        folder.prepare(CONFIG)
    folder.prepare(CONFIG, resume=True)
    assert len(folder.records()) == 1
    bystander = tmp_path / "notes.txt"
    bystander.write_text("mine")
    folder.prepare(CONFIG, overwrite=True)
    assert folder.records() == []
    assert bystander.read_text() == "mine"


@pytest.mark.parametrize(("field", "value"), [("seed", 2), ("cost", ("gap=2.0",)), ("new", 1)])
def test_resuming_another_configuration_names_the_field(
    tmp_path: Path, field: str, value: object
) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare(CONFIG)
    changed = {"configuration": {**CONFIG["configuration"], field: value}}
    with pytest.raises(UsageError, match=f"cannot resume .*: {field} was "):
        folder.prepare(changed, resume=True)


@pytest.mark.parametrize("field", ["episodes", "physics_threads"])
def test_resuming_may_change_what_no_result_depends_on(tmp_path: Path, field: str) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare(CONFIG)
    folder.prepare({"configuration": {**CONFIG["configuration"], field: 9}}, resume=True)
    assert folder.config()["configuration"][field] == 9


def test_a_run_from_before_an_option_goes_on_as_it_began(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare(CONFIG)
    now = {**CONFIG["configuration"], "finish": False, "precision": "float32"}
    folder.prepare({"configuration": now}, resume=True)
    with pytest.raises(UsageError, match=r"cannot resume .*: finish was false and is now true"):
        folder.prepare({"configuration": {**now, "finish": True}}, resume=True)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=r"cannot write the run folder '.*file/run'.*--output"):
        RunFolder(tmp_path / "file" / "run").prepare(CONFIG)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_folder_without_a_sound_config_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UsageError, match=r"is not a run folder|is damaged"):
        RunFolder(tmp_path).config()


def test_traces_survive(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    trace = {"x": np.arange(6.0).reshape(3, 2), "failed": np.zeros(3, bool)}
    folder.save_trace(12, trace)
    found = folder.traces()
    assert list(found) == [12]
    np.testing.assert_array_equal(found[12]["x"], trace["x"])
    assert found[12]["failed"].dtype == bool


def test_the_tally_counts_steps_of_all_worlds() -> None:
    tally = Tally()
    tally.begin(10, 100, records(0, 1))
    tally.worlds = 4
    tally.step(1)
    tally.step(2)
    assert tally.world_steps == 8
    assert tally.fraction == pytest.approx((2 + 4 * 0.02) / 10)
    tally.count(records(2, 3, 4, 5, success=False))
    assert tally.fraction == 0.6
    assert tally.text().startswith("2/6 succeeded")


def test_plain_progress_prints_a_line_a_wave(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainProgress(period=1e9) as progress:
        progress.begin(4, 10, [])
        progress.wave(2)
        for tick in range(10):
            progress.step(tick + 1)
        progress.finished(records(0, 1))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("0/4 episodes (0%)")
    assert lines[1].startswith("2/4 episodes (50%), 2/2 succeeded")
    assert len(lines) == 2


def test_silent_progress_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Silent() as progress:
        progress.begin(1, 1, [])
        progress.step(1)
    assert capsys.readouterr() == ("", "")


def picture(width: int = 33, height: int = 21) -> np.ndarray[Any, Any]:
    frame = np.zeros((height, width, 3), np.uint8)
    frame[:, : width // 2, 0] = 255
    return frame


def test_a_video_has_the_frames_and_an_even_size(tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = write_video(tmp_path / "video.mp4", [picture()] * 12, fps=10)
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    first = np.frombuffer(next(reader), np.uint8).reshape(20, 32, 3)
    assert meta["size"] == (32, 20)
    assert meta["fps"] == pytest.approx(10)
    assert 1 + sum(1 for _ in reader) == 12
    assert first[10, 4, 0] > 200
    assert first[10, 28, 0] < 60
    assert [item.name for item in tmp_path.iterdir()] == ["video.mp4"]


def test_a_gif_can_be_smaller_and_slower(tmp_path: Path) -> None:
    from PIL import Image

    path = write_gif(
        tmp_path / "a.gif", [picture() + np.uint8(i) for i in range(9)], fps=10, every=3, width=11
    )
    with Image.open(path) as image:
        assert (image.size, image.n_frames, image.info["duration"]) == ((11, 7), 3, 300)


def test_no_frames_are_an_error(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    with pytest.raises(PictureError, match="no frames"):
        write_video(tmp_path / "video.mp4", [], 10)
    with pytest.raises(PictureError, match="no frames"):
        write_gif(tmp_path / "a.gif", [], 10)


@pytest.mark.parametrize("found", [[], [{**records(0)[0], "distance_m": 0.3, "note": "x"}]])
def test_a_report_is_drawn_for_any_number_of_episodes(
    tmp_path: Path, found: list[EpisodeRecord]
) -> None:
    metrics = run_metrics(
        {"task": "t", "method": "codi", "predictor": "p", "seed": 1, "max_seconds": 5.0},
        found,
        [wave(0)] if found else [],
        CountingMetrics(),
    )
    path = tmp_path / "report.png"
    make_report(metrics, found, [wave(0)] if found else [], 5.0).savefig(path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


class MonitoringRenderer(Renderer):
    """Draws nothing, and names what a real system tells of itself."""

    monitors: Mapping[str, str] = {"force_n": "force [N]", "gap_s": "gap [s]"}

    def frames(self, trace: Any) -> Iterator[Any]:
        yield from ()

    def draw_paths(self, axes: Any, trace: Any) -> None:
        pass


def test_a_report_draws_what_a_real_system_tells_of_itself() -> None:
    found = records(0, 1)
    config = {"task": "t", "method": "codi", "predictor": "p", "seed": 1, "max_seconds": 5.0}
    metrics = run_metrics(config, found, [wave(0)], CountingMetrics())
    trace = {"force_n": np.arange(8.0).reshape(4, 2), "other": np.zeros(4)}
    figure = make_report(metrics, found, [wave(0)], 5.0, MonitoringRenderer(), {0: trace})
    titles = [axes.get_title() for axes in figure.axes]
    assert "Episode 0, force [N]" in titles
    assert not any("gap" in title for title in titles)  # the run has none
    axes = figure.axes[titles.index("Episode 0, force [N]")]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0, 2, 4, 6], [1, 3, 5, 7]]


CLAIM = """
import sys, time
from pathlib import Path
from codi_core.files.folders import exclusive
with exclusive(Path(sys.argv[1])):
    print("claimed", flush=True)
    time.sleep(60)
"""


def test_a_folder_has_one_writer_until_its_process_ends_however_it_ends(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", CLAIM, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        with (
            pytest.raises(UsageError, match=rf"another process is writing '{folder}'.*--output"),
            exclusive(folder),
        ):
            pytest.fail("two processes write one folder")
        other.kill()
    with exclusive(folder):
        pass
    with exclusive(folder):
        pass


def test_a_claim_on_a_folder_that_cannot_be_written_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(UsageError, match=r"cannot write the folder '.*file/run'.*--output"),
        exclusive(tmp_path / "file" / "run"),
    ):
        pytest.fail("there is no such folder")


def test_plans_that_nothing_was_planned_in_are_not_timed() -> None:
    made = Replan(0.0, 0.1, {"rollouts": 6}, {}, {}, 2)
    done = Replan(0.4, 0.001, {"done": 2}, {}, {}, 0)
    found = wave_summary([0, 1], [made, done])
    assert (found["replan_seconds"], found["world_plans"]) == ([0.1], 2)
