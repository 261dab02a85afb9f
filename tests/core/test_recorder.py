"""``codi-run --record``: what was executed becomes a data set, and policies train on it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from plugin_path import enter_with_example

from codi_core import experiments
from codi_core.cli.collect import main as collect
from codi_core.cli.run import main
from codi_core.cli.train import main as train
from codi_core.data import DatasetWriter, DemonstrationDataset, FeatureSpec
from codi_core.errors import DatasetError, UsageError
from codi_core.evaluation.recorder import (
    RecordedTask,
    Recorder,
    WaveRecording,
    left_out,
    state_values,
)
from codi_core.evaluation.run_folder import RunFolder
from codi_core.execution import ControlStep
from codi_core.policies import observation_feature
from codi_core.tasks import EpisodeKey, Step
from codi_core.training import load_checkpoint
from tests.example_plugin import codi_example
from tests.example_plugin.codi_example import HOMES, RATE_HZ

RUN: dict[str, Any] = {"episodes": 4, "worlds": 2, "seed": 3, "max_seconds": 1.0, "execute": 4}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_with_example(tmp_path, monkeypatch)


def run(output: str, **options: Any) -> experiments.Run:
    return experiments.run("example-points", output=output, progress=False, **{**RUN, **options})


def frames(data: DemonstrationDataset, number: int) -> dict[str, np.ndarray[Any, Any]]:
    first, last = data.episode_starts[number : number + 2]
    return {name: values[first:last] for name, values in data.arrays.items()}


def test_what_is_recorded_is_what_happened() -> None:
    traces = run("run", record="rec").traces
    data = DemonstrationDataset.load("rec")
    assert (data.episodes, data.fps, data.robot_type) == (4, RATE_HZ, "example-points")
    assert set(data.episode_tasks) == {"example-points"}
    for number in range(4):
        found, positions = frames(data, number), traces[number]["positions"]
        assert len(positions) == 11  # 1 s and the start
        np.testing.assert_array_equal(found["event.positions"], positions[:10])
        np.testing.assert_array_equal(found["state"], positions[:10])
        np.testing.assert_array_equal(
            found["observation.offsets"], positions[:10] - np.array(HOMES, np.float32)
        )
        moved = np.diff(positions, axis=0) * RATE_HZ
        np.testing.assert_allclose(found["action"].clip(-2, 2), moved, atol=1e-5)
        np.testing.assert_array_equal(
            found["action"], np.hstack([found["action.left"], found["action.right"]])
        )
        assert found["plan"][:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
        assert found["next.done"][:, 0].tolist() == [False] * 9 + [True]
        assert not found["missed"].any() and not found["next.failed"].any()
        assert found["episode"].tolist() == [[3, number]] * 10
    assert data.features["action"].names == ("left/velocity [m/s]", "right/velocity [m/s]")
    assert data.features["action.left"].names == ("velocity [m/s]",)
    assert data.features["episode"].names == ("seed", "number")


def test_recording_changes_nothing() -> None:
    run("with", record="rec")
    run("without")
    first, second = (Path(name, "episodes.jsonl").read_bytes() for name in ("with", "without"))
    assert first == second


def test_policies_train_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--episodes", "4", "--max-seconds", "1", "--no-video", "--no-report"]
    run = ["--task", "example-points", *arguments, "--output", "run", "--record", "rec"]
    assert main(run) == 0
    assert f"wrote {Path('rec').resolve()}" in capsys.readouterr().out
    small = ["--network", "mlp", "--width", "16", "--depth", "1", "--batch-size", "8"]
    small += ["--steps", "3", "--horizon", "4", "--held-out", "0.25"]
    assert train(["rec", "--output", "joint", *small]) == 0
    spec = load_checkpoint("joint/checkpoint.safetensors").spec
    assert spec.observation == {"observation.offsets": (2,)}
    assert (len(spec.action.names), spec.action.rate_hz) == (2, RATE_HZ)
    own = ["--observations", "state", "--action", "action.right"]
    assert train(["rec", "--output", "right", *own, *small]) == 0
    spec = load_checkpoint("right/checkpoint.safetensors").spec
    assert (spec.observation, spec.action.names) == ({"state": (2,)}, ("velocity [m/s]",))


def contents(folder: str) -> dict[str, bytes]:
    root = Path(folder)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("kept", [0, 1])
def test_a_run_that_is_killed_after_its_recording_was_kept_goes_on(
    monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    run("whole", record="whole-rec")
    commits, commit = itertools.count(), RunFolder.commit

    def killed(self: RunFolder, *arguments: Any) -> None:
        if next(commits) == kept:
            raise SystemExit
        commit(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "commit", killed)
        with pytest.raises(SystemExit):
            run("parts", record="parts-rec")
    assert DemonstrationDataset.load("parts-rec").episodes == 2 * (kept + 1)
    run("parts", record="parts-rec", resume=True)
    assert contents("parts-rec") == contents("whole-rec")
    assert run("parts", record="parts-rec", resume=True, episodes=6).finished
    assert DemonstrationDataset.load("parts-rec").episodes == 6


@pytest.mark.parametrize("left", [None, 0, 30])
@pytest.mark.parametrize("file", ["recording.json", "meta/info.json", "meta/tasks.parquet"])
def test_a_description_that_was_cut_short_is_written_anew(file: str, left: int | None) -> None:
    run("whole", record="whole-rec", episodes=6)
    run("run", record="rec", episodes=4)
    path = Path("rec", file)
    if left is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:left])
    run("run", record="rec", resume=True, episodes=6)
    assert contents("rec") == contents("whole-rec")


def test_damaged_frames_are_named_and_left(capsys: pytest.CaptureFixture[str]) -> None:
    run("run", record="rec")
    path = Path("rec/data/chunk-000/file-000.parquet")
    path.write_bytes(path.read_bytes()[:50])
    before = contents("rec")
    with pytest.raises(DatasetError, match=r"file-000\.parquet is damaged .*another folder"):
        run("run", record="rec", resume=True, episodes=6)
    assert contents("rec") == before


def test_a_recording_can_begin_in_the_midst_of_a_run() -> None:
    run("run", episodes=2)
    run("run", episodes=4, resume=True, record="rec")
    data = DemonstrationDataset.load("rec")
    assert data.arrays["episode"][data.episode_starts[:-1], 1].tolist() == [2, 3]
    without = "it was run without --record"
    assert left_out(Path("rec")) == {0: without, 1: without}
    run("run", episodes=5, resume=True)
    run("run", episodes=6, resume=True, record="rec")
    assert left_out(Path("rec")) == {0: without, 1: without, 4: without}


def test_a_recording_that_holds_nothing_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    look = codi_example.PointsWorld._look

    def blind(self: codi_example.PointsWorld) -> Step:
        step = look(self)
        return attrs.evolve(step, events={**step.events, "range": np.full(2, np.nan)})

    monkeypatch.setattr(codi_example.PointsWorld, "_look", blind)
    Path("there").mkdir()
    for folder in ("new", "there"):
        arguments = ["--task", "example-points", "--episodes", "2", "--max-seconds", "1"]
        quiet = ["--no-report", "--no-video", "--output", f"run-{folder}", "--record", folder]
        assert main([*arguments, *quiet]) == 0
        told = capsys.readouterr()
        assert "2 episodes were not recorded (0, 1): 'event.range' holds NaN" in told.err
        assert f"wrote {folder}" not in told.out


def test_an_overwritten_recording_is_replaced() -> None:
    run("run", record="rec")
    run("run", record="rec", overwrite=True, episodes=1)
    assert DemonstrationDataset.load("rec").episodes == 1


def test_demonstrations_are_never_replaced_by_a_recording() -> None:
    collecting = ["--task", "example-points", "--episodes", "2", "--output", "demonstrations"]
    assert collect(collecting) == 0
    with pytest.raises(UsageError, match="'demonstrations' holds no recording of a run"):
        run("run", record="demonstrations", overwrite=True)
    assert DemonstrationDataset.load("demonstrations").features.keys() >= {"observation.state"}
    run("run", record="rec")
    assert collect([*collecting[:-1], "rec", "--overwrite"]) == 0
    with pytest.raises(UsageError, match="'rec' holds no recording of a run"):
        run("run", record="rec", episodes=5, resume=True)


def test_a_foreign_folder_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    run("other", seed=4, record="other-rec", episodes=1)
    Path("letters").mkdir()
    Path("letters/love.txt").touch()

    def work(*_: Any) -> None:
        pytest.fail("episodes are run")

    monkeypatch.setattr(codi_example.PointsWorld, "reset", work)
    for settings in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(UsageError, match=r"nothing says that it holds a data set .*--record"):
            run("run", record="letters", **settings)
        with pytest.raises(UsageError, match="'other' holds a run, not a data set"):
            run("run", record="other", **settings)
    with pytest.raises(UsageError, match="'other-rec' already holds a data set"):
        run("run", record="other-rec")
    with pytest.raises(UsageError, match="a recording of another run: seed was 4 and is now 3"):
        run("run", record="other-rec", resume=True)
    with DatasetWriter("data", {"action": FeatureSpec((1,))}, 10, "toy") as writer:
        writer.add_episode({"action": np.zeros(3)}, "task")
    with pytest.raises(UsageError, match="'data' holds no recording of a run"):
        run("run", record="data", resume=True)
    assert not Path("run").exists()
    assert DemonstrationDataset.load("other-rec").episodes == 1


# Its parts.


TASK = RecordedTask("points", ("left", "right"), ((), ()), 10.0, frozenset({"map"}))


def control_step(tick: int, value: float = 0.0, worlds: int = 2) -> ControlStep:
    positions = torch.full((worlds, 2), value)
    events = {
        "succeeded": np.full(worlds, value > 1),
        "map": np.zeros((worlds, tick, 3)),
        "label": np.array(["x"] * worlds),
    }
    step = Step(0.1 * tick, positions, {"left/observation.state": positions}, events)
    later = attrs.evolve(step, events={**events, "succeeded": np.full(worlds, value > 0)})
    actions = (positions[:, :1], positions[:, 1:])
    return ControlStep(tick, step, actions, np.full(worlds, tick), later)


KEYS = [EpisodeKey(7, 0), EpisodeKey(7, 1)]


def recorded(lengths: list[int], *steps: ControlStep) -> list[dict[str, Any]]:
    wave = WaveRecording(TASK, tuple(KEYS))
    for step in steps:
        wave.add(step)
    return [values for _, values in wave.episodes(np.array(lengths))]


def test_an_episode_ends_with_its_world() -> None:
    first, second = recorded([3, 5], *(control_step(tick, tick - 1.0) for tick in (1, 2, 3, 4)))
    assert first["state"][:, 0].tolist() == [0, 1]
    assert second["state"][:, 0].tolist() == [0, 1, 2, 3]
    assert first["next.done"][:, 0].tolist() == [False, True]
    assert second["next.success"][:, 0].tolist() == [False, True, True, True]
    assert second["event.succeeded"][:, 0].tolist() == [False, False, True, True]
    assert set(second) == {
        "observation.left.state",
        "action.left",
        "action.right",
        "action",
        "state",
        "event.succeeded",
        "next.success",
        "next.done",
        "plan",
        "missed",
        "episode",
    }


def test_steps_that_were_missed_repeat_the_last_one_and_say_so() -> None:
    first, _ = recorded([7, 7], control_step(1, 0.5), control_step(4, 1.5), control_step(6, 2.5))
    assert first["state"][:, 0].tolist() == [0.5, 1.5, 1.5, 1.5, 2.5, 2.5]
    assert first["missed"][:, 0].tolist() == [False, False, True, True, False, True]
    assert first["plan"][:, 0].tolist() == [1, 4, 4, 4, 6, 6]


def test_an_episode_without_a_step_is_no_episode(tmp_path: Path) -> None:
    with Recorder(tmp_path / "rec", TASK, {}) as recorder:
        wave = recorder.wave(KEYS)
        recorder.keep(wave, np.array([1, 1]))
        wave.add(control_step(1))
        recorder.keep(wave, np.array([1, 2]))
        recorder.commit()
    data = DemonstrationDataset.load(tmp_path / "rec")
    assert data.arrays["episode"].tolist() == [[7, 1]]


def test_an_episode_that_is_not_finite_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recorder(tmp_path / "rec", TASK, {}) as recorder:
        wave = recorder.wave(KEYS)
        step = control_step(1)
        step.before.state[0, 1] = torch.nan
        wave.add(step)
        recorder.keep(wave, np.array([2, 2]))
        recorder.commit()
    assert DemonstrationDataset.load(tmp_path / "rec").episodes == 1
    assert left_out(tmp_path / "rec") == {0: "'observation.left.state' holds NaN or infinity"}


def test_a_size_that_changes_is_named(tmp_path: Path) -> None:
    task = attrs.evolve(TASK, ragged=frozenset())
    with Recorder(tmp_path / "rec", task, {}) as recorder:
        for tick in (1, 2):
            wave = recorder.wave(KEYS)
            wave._rows.append(wave._values(control_step(tick)))
            if tick == 1:
                recorder.keep(wave, np.array([2, 2]))
                recorder.commit()
        with pytest.raises(DatasetError, match=r"'event\.map' had \(3,\) values .* TaskParts\.rag"):
            recorder.keep(wave, np.array([2, 2]))


@attrs.frozen
class Map:
    obstacles: torch.Tensor


@attrs.frozen
class State:
    position: torch.Tensor
    goal: torch.Tensor | None
    map: Map
    period: torch.Tensor
    count: int = 3


def test_of_a_state_its_own_tensors_are_recorded() -> None:
    own = torch.arange(12.0).reshape(2, 3, 2)
    state = State(own, None, Map(torch.zeros(2, 5)), torch.tensor(0.1))
    values = state_values(state, 2)
    assert list(values) == ["state.position"]
    assert values["state.position"].tolist() == [list(range(6)), list(range(6, 12))]
    assert state_values({"a": torch.ones(2, dtype=torch.bfloat16), "b": "x"}, 2)[
        "state.a"
    ].tolist() == [[1], [1]]
    assert state_values(None, 2) == {} and state_values("mute", 2) == {}


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("offsets", "observation.offsets"),
        ("observation.state", "observation.state"),
        ("left/observation.state", "observation.left.state"),
        ("left/camera/rgb", "observation.left.camera.rgb"),
    ],
)
def test_observations_are_named_by_one_rule(name: str, feature: str) -> None:
    assert observation_feature(name) == feature


def test_two_entries_of_one_name_are_refused() -> None:
    step = control_step(1)
    twice = {"state": torch.zeros(2, 1), "observation.state": torch.zeros(2, 1)}
    clashing = attrs.evolve(step, before=attrs.evolve(step.before, observation=twice))
    with pytest.raises(DatasetError, match=r"same name in a recording: observation\.state, state"):
        recorded([2, 2], clashing)


def test_each_agents_action_has_its_names() -> None:
    names = (("x", "y"), ("z",))
    task = attrs.evolve(TASK, action_names=names)
    assert task.value_names("action") == ("left/x", "left/y", "right/z")
    assert task.value_names("action.right") == ("z",)
    assert task.value_names("state") is None
    assert TASK.value_names("action") is None
    assert json.loads(json.dumps(codi_example.OFFER.action_names)) == [["velocity [m/s]"]] * 2
