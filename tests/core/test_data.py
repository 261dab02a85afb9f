"""Demonstrations on disk, and the windows over them."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.data import (
    DatasetWriter,
    DemonstrationDataset,
    FeatureSpec,
    layout,
    segments,
    split_episodes,
)
from codi_core.data.statistics import RunningStatistics, episode_statistics
from codi_core.errors import DatasetError, UsageError
from tests.core.demonstrations import FEATURES, episode, write

OBSERVED = ["observation.state", "observation.environment_state"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture
def copied(root, tmp_path):
    return shutil.copytree(root, tmp_path / "copied")


def test_what_was_recorded_is_what_is_read(root):
    data = DemonstrationDataset.load(root)
    assert data.fps == 10 and data.robot_type == "toy"
    assert data.episode_starts.tolist() == [0, 5, 8, 12] and data.frames == 12
    assert data.episode_tasks == ("task 0", "task 1", "task 0")
    assert data.features == FEATURES
    for name in FEATURES:
        parts = [episode(number, length)[name] for number, length in enumerate((5, 3, 4))]
        expected = np.concatenate(parts).reshape(12, -1)
        np.testing.assert_array_equal(data.arrays[name], expected)
        assert data.arrays[name].dtype == np.float32


def test_files_are_those_of_the_layout(root):
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 12, 2)
    assert info["splits"] == {"train": "0:3"} and info["fps"] == 10
    assert info["features"]["action"] == {"dtype": "float32", "shape": [2], "names": ["dx", "dy"]}
    assert info["features"]["timestamp"] == {"dtype": "float32", "shape": [1], "names": None}
    tasks = pd.read_parquet(root / "meta/tasks.parquet")
    assert tasks.index.name == "task"
    assert tasks["task_index"].to_dict() == {"task 0": 0, "task 1": 1}


def test_data_files_have_the_layouts_columns(root):
    table = pq.read_table(root / "data/chunk-000/file-000.parquet")
    assert table.schema.field("action").type == pa.list_(pa.float32(), 2)
    assert table.schema.field("observation.environment_state").type == pa.float32()
    assert table["index"].to_pylist() == list(range(12))
    assert table["episode_index"].to_pylist() == [0] * 5 + [1] * 3 + [2] * 4
    assert table["frame_index"].to_pylist() == [0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3]
    assert table["task_index"].to_pylist() == [0] * 5 + [1] * 3 + [0] * 4
    np.testing.assert_allclose(table["timestamp"].to_numpy()[5:8], [0, 0.1, 0.2], rtol=1e-6)
    assert pq.ParquetFile(root / "data/chunk-000/file-000.parquet").num_row_groups == 3


def test_episode_metadata_and_statistics(root):
    rows = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["length"] for row in rows] == [5, 3, 4]
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in rows] == [
        (0, 5),
        (5, 8),
        (8, 12),
    ]
    assert rows[1]["tasks"] == ["task 1"]
    assert rows[1]["stats/action/mean"] == [101.0, 99.0]
    assert rows[1]["stats/action/count"] == [3]
    statistics = json.loads((root / "meta/stats.json").read_text())
    everything = DemonstrationDataset.load(root).arrays["action"].astype(np.float64)
    np.testing.assert_allclose(statistics["action"]["mean"], everything.mean(0))
    np.testing.assert_allclose(statistics["action"]["std"], everything.std(0))
    np.testing.assert_allclose(statistics["action"]["q10"], np.quantile(everything, 0.1, axis=0))
    assert statistics["action"]["count"] == [12]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(0, 1000))
def test_running_statistics_equal_those_of_all_frames(lengths, seed):
    rng, running, parts = np.random.default_rng(seed), RunningStatistics(), []
    for length in lengths:
        parts.append(rng.normal(1e3, 1, (length, 3)))
        running.update(parts[-1])
    expected = episode_statistics(np.concatenate(parts))
    for name, value in running.summary().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9)


def test_quantiles_of_many_frames_are_thinned_evenly():
    running = RunningStatistics()
    for start in range(0, 200_000, 999):
        running.update(np.arange(start, min(start + 999, 200_000))[:, None])
    assert sum(len(rows) for rows in running._rows) == 50_000
    assert running.summary()["q50"][0] == pytest.approx(100_000, abs=5)


def test_wide_data_keep_fewer_frames_for_quantiles(tmp_path):
    writer = DatasetWriter(tmp_path / "set", {"wide": FeatureSpec((4000,))}, 10, "toy")
    for _ in range(5):
        writer.add_episode({"wide": np.ones((1000, 4000))}, "task")
    kept = writer._now.statistics["wide"]._rows
    assert sum(map(len, kept)) == 2500  # every second frame: at most 2**24 values of all columns
    writer.discard()


def test_many_episodes_span_files(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "DATA_FILE_MEGABYTES", 0.02)
    write(tmp_path / "set", lengths=(40,) * 20)
    files = sorted((tmp_path / "set/data").glob("*/*.parquet"))
    rows = pq.read_table(tmp_path / "set/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert len(files) > 1 and rows[-1]["data/file_index"] == len(files) - 1
    data = DemonstrationDataset.load(tmp_path / "set")
    assert data.frames == 800 and data.arrays["action"][-1].tolist() == [1939, 1861]


def test_the_fingerprint_is_that_of_the_content(root, tmp_path, monkeypatch):
    first = DemonstrationDataset.load(root)
    monkeypatch.setattr(layout, "DATA_FILE_MEGABYTES", 0.0001)
    again = DemonstrationDataset.load(write(tmp_path / "again"))
    assert again.fingerprint() == first.fingerprint()
    other = DemonstrationDataset.load(write(tmp_path / "other", lengths=(5, 4, 3)))
    assert other.fingerprint() != first.fingerprint()
    some = DemonstrationDataset.load(root, ["action"])
    assert some.fingerprint() == first.fingerprint(["action"]) != first.fingerprint()


def test_a_failed_recording_leaves_nothing(tmp_path):
    def record():
        with DatasetWriter(tmp_path / "set", FEATURES, 10, "toy") as writer:
            writer.add_episode(episode(0, 3), "task")
            raise RuntimeError("the simulator crashed")

    with pytest.raises(RuntimeError, match="crashed"):
        record()
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_folder_is_kept(root, tmp_path):
    write(tmp_path / "set")
    with pytest.raises(UsageError, match="already holds a data set: --resume goes on with it"):
        write(tmp_path / "set")
    write(tmp_path / "set", lengths=(2,), overwrite=True)
    assert DemonstrationDataset.load(tmp_path / "set").frames == 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/love.txt").write_text("x")
    with pytest.raises(UsageError, match=r"nothing says that it holds a data set .*love\.txt"):
        write(tmp_path / "letters", overwrite=True)
    assert [path.name for path in (tmp_path / "letters").glob("[!.]*")] == ["love.txt"]


def numbers(root, name="action"):
    """The first value of each frame; [] if there is no data set."""
    if not (root / "meta/info.json").exists():
        return []
    return DemonstrationDataset.load(root).arrays[name][:, 0].tolist()


def contents(root):
    """All files of a data set, but for those that only say who writes it."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def record(root, numbers, **settings):
    """Episodes of two frames, kept two by two."""
    with DatasetWriter(root, FEATURES, 10, "toy", **settings) as writer:
        for number in numbers:
            writer.add_episode(episode(number, 2), f"task {number % 3}")
            if number % 2:
                writer.commit({"last": number})
    return root


def test_what_is_committed_stays_and_what_is_not_goes(tmp_path):
    writer = DatasetWriter(tmp_path / "set", FEATURES, 10, "toy")
    writer.add_episode(episode(0, 2), "task")
    assert numbers(tmp_path / "set") == []
    writer.commit()
    assert numbers(tmp_path / "set") == [0, 1]
    writer.add_episode(episode(1, 2), "other")
    writer.rollback()
    assert writer.episodes == 1
    writer.add_episode(episode(2, 2), "third")
    writer.commit()
    writer.add_episode(episode(3, 2), "task")
    writer.discard()
    assert numbers(tmp_path / "set") == [0, 1, 200, 201]
    data = DemonstrationDataset.load(tmp_path / "set")
    assert data.episode_tasks == ("task", "third")
    assert json.loads((tmp_path / "set/meta/stats.json").read_text())["action"]["count"] == [4]
    assert not (tmp_path / "set/.pending").exists()


def test_a_resumed_recording_is_the_whole_one_to_the_byte(tmp_path):
    whole = record(tmp_path / "whole", range(8))
    parts = record(tmp_path / "parts", range(4))
    record(parts, range(4, 6), resume=True)
    assert contents(record(parts, range(6, 8), resume=True)) == contents(whole)
    assert numbers(parts) == [100 * number + t for number in range(8) for t in range(2)]


def test_commits_that_do_not_count_are_dropped(tmp_path):
    root = record(tmp_path / "set", range(8))
    record(root, range(4, 6), resume=True, accept=lambda note: note["last"] < 4)
    assert contents(root) == contents(record(tmp_path / "short", range(6)))
    record(root, [1], resume=True, accept=lambda note: False)
    assert contents(root) == contents(record(tmp_path / "one", [1]))


class KilledError(Exception):
    """Stands for a kill."""


def cut_commit(root, monkeypatch, step, **settings):
    """Episodes 2 and 3; files are put in place one by one, and a kill comes after ``step``."""
    replace, done = Path.replace, []

    def cut(path, target):
        if len(done) == step:
            raise KilledError
        done.append(target)
        return replace(path, target)

    writer = DatasetWriter(root, FEATURES, 10, "toy", **settings)
    for number in (2, 3):
        writer.add_episode(episode(number, 2), f"task {number % 3}")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", cut)
        with pytest.raises(KilledError):
            writer.commit({"last": 3})
    writer._claim.close()  # as the end of the process does


@pytest.mark.parametrize("step", range(5))
def test_a_commit_that_is_cut_short_leaves_the_one_before(tmp_path, monkeypatch, step):
    root = record(tmp_path / "set", range(2))
    cut_commit(root, monkeypatch, step, resume=True)
    record(root, range(2, 4), resume=True)
    assert contents(root) == contents(record(tmp_path / "whole", range(4)))


@pytest.mark.parametrize("step", range(5))
def test_overwriting_that_is_cut_short_leaves_the_new_or_nothing(tmp_path, monkeypatch, step):
    root = record(tmp_path / "set", range(2))
    cut_commit(root, monkeypatch, step, overwrite=True)
    assert not (root / "meta/info.json").exists()
    record(root, range(4, 6), resume=True)
    expected = range(4, 6) if step < 2 else range(2, 6)
    assert contents(root) == contents(record(tmp_path / "whole", expected))


@pytest.mark.parametrize("left", [None, 0, 30])
def test_what_is_damaged_is_an_error_unless_it_can_be_made_again(tmp_path, left):
    root = record(tmp_path / "set", range(6))
    whole = contents(root)
    for file in ("data/chunk-000/file-001.parquet", "meta/episodes/chunk-000/file-001.parquet"):
        path = root / file
        if left is None:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:left])
        with pytest.raises(DatasetError, match=f"{path.name} is damaged"):
            DatasetWriter(root, FEATURES, 10, "toy", resume=True)
        assert (root / "data/chunk-000/file-002.parquet").exists()
        writer = DatasetWriter(root, FEATURES, 10, "toy", resume=True, repeatable=True)
        assert (writer.episodes, writer.notes) == (2, [{"last": 1}])
        writer.discard()
        assert contents(record(root, range(2, 6), resume=True)) == whole


@pytest.mark.parametrize("left", [None, 0, 30])
@pytest.mark.parametrize("file", ["info.json", "stats.json", "tasks.parquet"])
def test_metadata_that_are_damaged_are_written_anew(tmp_path, file, left):
    root = record(tmp_path / "set", range(6))
    whole, path = contents(root), root / "meta" / file
    if left is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:left])
    DatasetWriter(root, FEATURES, 10, "toy", resume=True).discard()
    assert contents(root) == whole


def test_a_recording_goes_on_with_the_same_features_alone(tmp_path):
    record(tmp_path / "set", range(2))
    before = contents(tmp_path / "set")
    for features, rate, robot in (
        ({"action": FEATURES["action"]}, 10, "toy"),
        (FEATURES, 20, "toy"),
        (FEATURES, 10, "other"),
    ):
        with pytest.raises(DatasetError, match="cannot go on with"):
            DatasetWriter(tmp_path / "set", features, rate, robot, resume=True)
    assert contents(tmp_path / "set") == before


def test_one_writer_at_a_time(tmp_path):
    with DatasetWriter(tmp_path / "set", FEATURES, 10, "toy") as writer:
        with pytest.raises(UsageError, match="another process is writing"):
            DatasetWriter(tmp_path / "set", FEATURES, 10, "toy", overwrite=True)
        writer.add_episode(episode(0, 2), "task")
    record(tmp_path / "set", [1], overwrite=True)
    assert numbers(tmp_path / "set") == [100, 101]


def test_a_data_set_appears_in_the_folder_that_is_there(tmp_path, monkeypatch):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    record(tmp_path / "link", [1])
    assert (tmp_path / "link").is_symlink() and numbers(tmp_path / "target") == [100, 101]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert numbers(record(Path(), [2])) == [200, 201]


def test_a_rate_that_is_no_whole_number_is_kept(tmp_path):
    with DatasetWriter(tmp_path / "set", FEATURES, 12.5, "toy") as writer:
        writer.add_episode(episode(0, 30), "task")
    data = DemonstrationDataset.load(tmp_path / "set")
    assert data.fps == 12.5
    table = pq.read_table(tmp_path / "set/data/chunk-000/file-000.parquet")
    np.testing.assert_allclose(table["timestamp"].to_numpy(), np.arange(30) / 12.5, rtol=1e-6)
    for rate in (0, -10, math.nan, math.inf):
        with pytest.raises(DatasetError, match="must be a positive number"):
            DatasetWriter(tmp_path / "other", FEATURES, rate, "toy")


@pytest.mark.parametrize(
    ("dtype", "values", "words"),
    [
        ("int64", [np.nan, 1.0], "'n' holds NaN"),
        ("int64", [1.0, 1.7], "'n' holds 1.7, which int64 does not have"),
        ("int64", [1e19, 0.0], "which int64 does not have"),
        ("int64", np.array([2**63 + 5, 0], np.uint64), "which int64 does not have"),
        ("bool", [0, 2], "'n' holds 2, which bool does not have"),
        ("float32", [2**24 + 1, 0], "'n' holds 16777217, which float32 does not have"),
        ("float32", [1e39, 0.0], "'n' holds NaN or infinity"),
        ("float32", ["a", "b"], "'n' holds <U1 values; float32 is stored"),
        ("float32", [1j, 0], "'n' holds complex128 values"),
    ],
)
def test_values_that_a_type_does_not_have_are_refused(tmp_path, dtype, values, words):
    writer = DatasetWriter(tmp_path / "set", {"n": FeatureSpec((1,), dtype=dtype)}, 10, "toy")
    with pytest.raises(DatasetError, match=words):
        writer.add_episode({"n": np.array(values)}, "task")
    writer.discard()


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int64", np.array([3.0, -2.0])),
        ("int64", np.array([2**62, -1])),
        ("bool", np.array([0.0, 1.0])),
        ("bool", np.array([True, False])),
        ("float32", np.array([2**24, -1])),
        ("float64", np.array([0.1, 1e30])),
    ],
)
def test_values_that_a_type_has_are_stored_as_they_are(tmp_path, dtype, values):
    features = {"n": FeatureSpec((1,), dtype=dtype)}
    with DatasetWriter(tmp_path / "set", features, 10, "toy") as writer:
        writer.add_episode({"n": values}, "task")
    stored = pq.read_table(tmp_path / "set/data/chunk-000/file-000.parquet")["n"].to_numpy()
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"action": np.zeros((4, 2))}, "different numbers of frames"),
        ({"action": np.zeros((5, 3))}, r"'action' has shape \(5, 3\)"),
        ({"action": np.full((5, 2), np.nan)}, "'action' holds NaN"),
        ({"more": np.zeros(5)}, r"unknown features \['more'\]"),
    ],
)
def test_frames_that_do_not_fit_are_named(tmp_path, change, words):
    writer = DatasetWriter(tmp_path / "set", FEATURES, 10, "toy")
    with pytest.raises(DatasetError, match=words):
        writer.add_episode(episode(0, 5) | change, "task")
    writer.discard()


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        ("index", FeatureSpec((1,)), "writes this column itself"),
        ("a/b", FeatureSpec((1,)), "separates statistics"),
        ("a", FeatureSpec((2, 2)), "flatten"),
        ("a", FeatureSpec((2,), dtype="complex64"), "complex64"),
        ("a", FeatureSpec((2,), names=("x",)), "2 values and 1 names"),
    ],
)
def test_features_that_cannot_be_stored_are_named(tmp_path, name, spec, words):
    with pytest.raises(DatasetError, match=words):
        DatasetWriter(tmp_path / "set", {name: spec}, 10, "toy")


def test_an_empty_recording_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no episode"):
        DatasetWriter(tmp_path / "set", FEATURES, 10, "toy").close()


def damage(path, kind):
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.write_text("{")


@pytest.mark.parametrize(
    ("file", "kind", "words"),
    [
        ("meta/info.json", "missing", "info.json is missing"),
        ("meta/info.json", "garbled", "info.json is damaged"),
        ("meta/tasks.parquet", "missing", "tasks.parquet cannot be read"),
        ("data/chunk-000/file-000.parquet", "missing", "holds no parquet file"),
        ("data/chunk-000/file-000.parquet", "truncated", "file-000.parquet cannot be read"),
    ],
)
def test_damaged_files_are_named(copied, file, kind, words):
    damage(copied / file, kind)
    with pytest.raises(DatasetError, match=words):
        DemonstrationDataset.load(copied)


def rewrite_info(root, **changes):
    path = root / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_incomplete_old_and_unknown_data_are_named(copied):
    with pytest.raises(DatasetError, match="no numeric feature 'gripper': choose from"):
        DemonstrationDataset.load(copied, ["gripper"])
    rewrite_info(copied, total_frames=99)
    with pytest.raises(DatasetError, match="promises 99 frames, the data files hold 12"):
        DemonstrationDataset.load(copied)
    rewrite_info(copied, codebase_version="v2.1")
    with pytest.raises(DatasetError, match=r"layout v2\.1"):
        DemonstrationDataset.load(copied)


def rewrite_rows(root, change):
    path = root / "data/chunk-000/file-000.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def with_column(name, values):
    return lambda table: table.set_column(
        table.schema.get_field_index(name), name, pa.array(values)
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.take(np.arange(12)[::-1]), "episode_index is 2 in episode 2, where 0"),
        (lambda table: table.take([1, 0, *range(2, 12)]), "frame_index is 1 in episode 0, where 0"),
        (
            lambda table: table.take([*range(5), *range(8, 12), *range(5, 8)]),
            "episode_index is 2 in episode 2, where 1 follows",
        ),
        (with_column("index", [*range(11), 99]), "index is 99 in episode 2, where 11 follows"),
        (with_column("frame_index", list(range(12))), "frame_index is 5 in episode 1, where 0"),
        (
            with_column("timestamp", np.arange(12, dtype=np.float32) / 20),
            r"frame 1 of episode 0 is at 0\.0500 s, and 0\.1000 s follow from 10 frames",
        ),
        (with_column("task_index", [7] * 12), "has no task 7"),
        (with_column("action", [[1, 2]] * 12), "'action' is float32 in .*, but its values are int"),
        (with_column("action", [[1.0], [1.0, 2.0, 3.0]] * 6), "does not hold .* values in each"),
        (with_column("observation.environment_state", [None, *[1.0] * 11]), "does not hold"),
        (lambda table: table.slice(0, 5), "promises 12 frames, the data files hold 5"),
    ],
)
def test_rows_that_contradict_the_metadata_are_refused(copied, change, words):
    rewrite_rows(copied, change)
    with pytest.raises(DatasetError, match=words):
        DemonstrationDataset.load(copied)


@pytest.mark.parametrize(
    ("fps", "words"),
    [
        (30, "frame 1 of episode 0 is at"),
        (9.97, "frame 1 of episode 0 is at"),
        (0, "must be a positive number, not 0"),
        (-10, "must be a positive number"),
        ("10", "must be a positive number, not '10'"),
        (True, "must be a positive number"),
    ],
)
def test_a_rate_that_the_time_stamps_do_not_have_is_refused(copied, fps, words):
    rewrite_info(copied, fps=fps)
    with pytest.raises(DatasetError, match=words):
        DemonstrationDataset.load(copied)


def test_long_episodes_may_have_times_as_exact_as_single_precision(tmp_path):
    with DatasetWriter(tmp_path / "set", {"a": FeatureSpec((1,))}, 30, "toy") as writer:
        writer.add_episode({"a": np.zeros(200_000)}, "task")
    assert DemonstrationDataset.load(tmp_path / "set").frames == 200_000


def test_lengths_of_episodes_are_those_of_their_metadata(copied):
    path = copied / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(with_column("length", [5, 4, 3])(table), path)
    with pytest.raises(DatasetError, match="episode 1 has 3 frames, 4 by its metadata"):
        DemonstrationDataset.load(copied)


def test_other_peoples_columns_are_read(copied):
    """Variable-length lists, float64, nested names and cameras, as other tools write them."""
    path = copied / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    lists = pa.array(table["action"].to_pylist(), type=pa.list_(pa.float64()))
    table = table.set_column(table.schema.get_field_index("action"), "action", lists)
    pq.write_table(table, path)
    features = json.loads((copied / "meta/info.json").read_text())["features"]
    features["action"]["names"] = {"motors": ["a", "b"]}
    features["observation.images.top"] = {"dtype": "video", "shape": [480, 640, 3], "names": None}
    rewrite_info(copied, features=features)
    data = DemonstrationDataset.load(copied)
    assert data.features["action"].names == ("a", "b")
    assert data.arrays["action"].dtype == np.float32
    assert data.arrays["action"][6].tolist() == [101, 99]
    with pytest.raises(DatasetError, match=r"observation\.images\.top"):
        DemonstrationDataset.load(copied, ["observation.images.top"])


def test_windows_start_at_the_present_frame_and_repeat_the_last_action(root):
    windows = segments(DemonstrationDataset.load(root), 4, OBSERVED, history=2)
    assert len(windows) == 12
    batch = windows.gather(torch.tensor([0, 1, 3, 7, 8]))
    assert batch.actions[..., 0].tolist() == [
        [0, 1, 2, 3],  # episode 0, t = 0
        [1, 2, 3, 4],
        [3, 4, 4, 4],  # t = 3 of 5: the last action is repeated
        [102, 102, 102, 102],  # the last frame of episode 1
        [200, 201, 202, 203],  # the first frame of episode 2
    ]
    assert batch.observation["observation.state"][..., 0].tolist() == [
        [0, 0],  # the first frame is repeated
        [0, 1],
        [2, 3],
        [101, 102],
        [200, 200],
    ]
    assert batch.observation["observation.environment_state"].shape == (5, 2, 1)


@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    horizon=st.integers(1, 9),
    history=st.integers(1, 3),
    offset=st.integers(-2, 2),
)
def test_windows_equal_a_loop(lengths, horizon, history, offset):
    ends = np.cumsum([0, *lengths])
    values = np.arange(float(ends[-1]), dtype=np.float32)[:, None]
    data = DemonstrationDataset(
        "memory",
        {"o": FeatureSpec((1,)), "action": FeatureSpec((1,))},
        {"o": values, "action": values},
        ends,
        ("",) * len(lengths),
        10,
    )
    windows = segments(data, horizon, ["o"], history=history, offset=offset)
    batch = windows.gather(torch.arange(len(windows)))
    row = 0
    for first, stop in zip(ends, ends[1:], strict=False):
        for t in range(first, stop):
            ahead = [min(max(t + offset + k, first), stop - 1) for k in range(horizon)]
            past = [max(t - back, first) for back in reversed(range(history))]
            assert batch.actions[row, :, 0].tolist() == ahead
            assert batch.observation["o"][row, :, 0].tolist() == past
            row += 1


def test_samples_are_windows_of_the_chosen_episodes_alone(root):
    data = DemonstrationDataset.load(root)
    windows = segments(data, 2, OBSERVED, episodes=np.array([1]))
    drawn = windows.sample(torch.Generator().manual_seed(0), 500)
    firsts = drawn.actions[:, 0, 0]
    assert sorted(set(firsts.tolist())) == [100, 101, 102]
    assert all(120 < int((firsts == value).sum()) < 215 for value in (100, 101, 102))
    again = windows.sample(torch.Generator().manual_seed(0), 500)
    torch.testing.assert_close(again.actions, drawn.actions)


def test_windows_of_what_was_not_read_are_refused(root):
    data = DemonstrationDataset.load(root, ["action"])
    with pytest.raises(DatasetError, match=r"observation\.state"):
        segments(data, 4, ["observation.state"])
    with pytest.raises(DatasetError, match="no episode is left"):
        segments(DemonstrationDataset.load(root), 4, OBSERVED, episodes=np.array([], dtype=int))


@given(st.integers(2, 300), st.floats(0.001, 0.99), st.integers(0, 5))
def test_the_split_partitions_the_episodes(episodes, share, seed):
    train, held_out = split_episodes(episodes, share, seed)
    assert sorted([*train, *held_out]) == list(range(episodes))
    assert len(train) >= 1 and len(held_out) >= 1
    assert abs(len(held_out) - episodes * share) <= 1
    again = split_episodes(episodes, share, seed)
    assert again[1].tolist() == held_out.tolist()


def test_nothing_or_not_everything_can_be_held_out():
    assert len(split_episodes(5, 0.0)[1]) == 0 and len(split_episodes(1, 0.0)[0]) == 1
    for episodes, share in ((1, 0.1), (5, 1.0), (5, -0.1)):
        with pytest.raises(DatasetError, match="hold out"):
            split_episodes(episodes, share)
