"""What videos show and say, and that reports agree with the metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from plugin_path import install_example

from codi_core import experiments
from codi_core.cli.run import main
from codi_core.evaluation import video
from codi_core.evaluation.captions import AFTER_SUCCESS, Caption
from codi_core.evaluation.metrics import run_metrics
from codi_core.evaluation.report import make_report
from codi_core.evaluation.run_folder import RunFolder
from codi_core.tasks import EpisodeRecord, Metrics

SUCCESS: EpisodeRecord = {"episode": 3, "success": True, "completion_time_s": 0.5}
FAILURE: EpisodeRecord = {"episode": 3, "success": False, "completion_time_s": None}


def caption(record: EpisodeRecord | None) -> Caption:
    trace = {"gap": np.linspace(1, 0, 11)}
    return Caption("t · codi", record, trace, 10.0, lambda t, step: f"gap {t['gap'][step]:.1f} m")


def test_what_is_said_of_a_step() -> None:
    assert caption(SUCCESS).lines(4) == ("t · codi", "0.4 s · gap 0.6 m")
    assert caption(SUCCESS).lines(5) == ("t · codi", "0.5 s · success at 0.5 s · gap 0.5 m")
    assert caption(SUCCESS).lines(9)[1] == "0.9 s · success at 0.5 s · gap 0.1 m"
    assert caption(FAILURE).lines(4)[1] == "0.4 s · without success · gap 0.6 m"
    assert caption(None).lines(4)[1] == "0.4 s · gap 0.6 m"
    assert attrs.evolve(caption(None), remark=None).lines(10)[1] == "1.0 s"


def test_a_film_ends_soon_after_success() -> None:
    assert caption(SUCCESS).steps() == 5 + round(10 * AFTER_SUCCESS) + 1
    assert caption(FAILURE).steps() is None
    assert caption(None).steps() is None


@pytest.mark.parametrize("width", [64, 128, 640, 1920])
def test_the_caption_stands_below_the_picture(width: int) -> None:
    frame = np.full((30, width, 3), 120, np.uint8)
    first, second = caption(SUCCESS).under([frame] * 2)
    assert first.shape == second.shape
    assert first.shape[1:] == (width, 3)
    assert first.shape[0] % 2 == 0
    assert np.array_equal(first[:30], frame)
    # Light letters on a dark band; the time is another one.
    assert first[30:].max() > 200
    assert np.median(first[30:]) < 60
    assert not np.array_equal(first[30:], second[30:])


class NoMetrics(Metrics):
    """Summarises nothing."""

    def episode(self, events: Any, dt: float) -> EpisodeRecord:
        return {}

    def summary(self, records: Any) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("successes", "failures", "said"),
    [
        (3, 1, "mean 12.0 s, failures as 30 s"),
        (2, 0, "mean 6.0 s"),
        (0, 2, "mean 30.0 s, failures"),
    ],
)
def test_the_report_has_the_mean_of_the_metrics(successes: int, failures: int, said: str) -> None:
    records = [
        {
            "episode": n,
            "success": n < successes,
            "completion_time_s": 6.0 if n < successes else None,
        }
        for n in range(successes + failures)
    ]
    configuration = {"task": "t", "method": "m", "predictor": "p", "seed": 0, "max_seconds": 30.0}
    metrics = run_metrics(configuration, records, [], NoMetrics())
    figure = make_report(metrics, records, [], 30.0)
    (panel,) = (ax for ax in figure.axes if ax.get_title() == "Completion time")
    legend = panel.get_legend()
    assert legend is not None
    (text,) = (t.get_text() for t in legend.get_texts() if t.get_text().startswith("mean"))
    assert text.startswith(said)
    (line,) = (line for line in panel.lines if str(line.get_label()).startswith("mean"))
    assert line.get_xdata() == pytest.approx([metrics["completion_time_s"]["mean"]] * 2)


def test_a_run_shows_a_success_and_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of the same episodes, the second with a failure written into its records."""
    install_example(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    options = ["--task", "example-points", "--episodes", "3", "--seed", "1", "--max-seconds", "5"]
    assert main([*options, "--no-video", "--no-report", "--output", "run"]) == 0
    run = experiments.read_run("run")
    assert [record["success"] for record in run.episodes] == [True] * 3
    assert run.shown(run.traces) == [0]
    shown: list[int] = []

    def count(path: Path, frames: Any, fps: float) -> Path:
        shown.append(len(list(frames)))
        return path

    monkeypatch.setattr(video, "write_video", count)
    run.write_video()
    seconds = run.episodes[0]["completion_time_s"]
    assert shown == [round(10 * (seconds + AFTER_SUCCESS)) + 1]
    lines = RunFolder(Path("run")).file("episodes.jsonl").read_text().splitlines()
    failed = {**json.loads(lines[0]), "success": False, "completion_time_s": None}
    Path("run/episodes.jsonl").write_text("\n".join([json.dumps(failed), *lines[1:], ""]))
    again = experiments.read_run("run")
    assert again.shown(again.traces) == [0, 1]
    again.write_video()
    seconds = again.episodes[1]["completion_time_s"]
    assert shown[1] == 51 + min(51, round(10 * (seconds + AFTER_SUCCESS)) + 1)
    assert again.shown([2]) == [2]
    again.write_video([1, 7])
    assert shown[2] == shown[1] - 51


def test_the_events_of_the_first_failure_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All fail: the first four are kept, and no other one; after --resume neither."""
    install_example(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    options = ["--task", "example-points", "--max-seconds", "0.5", "--worlds", "2"]
    output = ["--no-video", "--no-report", "--output"]
    assert main([*options, "--episodes", "7", *output, "all"]) == 0
    assert list(experiments.read_run("all").traces) == [0, 1, 2, 3]
    from codi_example import PointsMetrics

    score, seen = PointsMetrics.episode, []

    def but_few(self: PointsMetrics, events: Any, dt: float) -> EpisodeRecord:
        seen.append(None)
        good = len(seen) not in (6, 7, 8)
        when = 0.3 if good else None
        return {**score(self, events, dt), "success": good, "completion_time_s": when}

    monkeypatch.setattr(PointsMetrics, "episode", but_few)
    assert main([*options, "--episodes", "9", *output, "few"]) == 0
    run = experiments.read_run("few")
    assert [r["episode"] for r in run.episodes if not r["success"]] == [5, 6, 7]
    assert list(run.traces) == [0, 1, 2, 3, 5]
    assert run.shown(run.traces) == [0, 5]
    monkeypatch.setattr(PointsMetrics, "episode", score)
    assert main([*options, "--episodes", "11", "--resume", *output, "few"]) == 0
    assert list(experiments.read_run("few").traces) == [0, 1, 2, 3, 5]
