"""codi-distil, from the command line to a student that search takes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from codi_core.cli.distil import main
from codi_core.cli.train import main as train_main
from codi_core.data import DatasetWriter, FeatureSpec
from codi_core.training import load_checkpoint, read_curve, read_metadata
from codi_core.training.checkpoint import checkpoint_digest, read_tensors, write_tensors
from codi_core.training.students import load_student
from tests.core.demonstrations import write_gaussian

FAST = ["--batch-size", "16", "--solver-calls", "3", "--held-out", "0.2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_gaussian(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("teacher") / "run"
    network = ["--network", "mlp", "--width", "32", "--depth", "1", "--horizon", "2"]
    given = [data, "--output", run, *network, "--steps", 100, "--held-out", 0.2]
    assert train_main([str(word) for word in given]) == 0
    return run / "checkpoint.safetensors"


@pytest.fixture(scope="module")
def stand_in(data, teacher, tmp_path_factory):
    run = tmp_path_factory.mktemp("stand-in") / "run"
    assert distil(teacher, data, "--output", run, *FAST, "--steps", 30) == 0
    return run / "checkpoint.safetensors"


def distil(*arguments):
    return main([str(argument) for argument in arguments])


def test_a_run_leaves_a_student_and_what_is_known_of_it(data, teacher, tmp_path, capsys):
    run = tmp_path / "run"
    assert distil(teacher, data, "--output", run, *FAST, "--steps", 30) == 0
    out, error = capsys.readouterr()
    assert sorted(path.name for path in run.glob("[!.]*")) == [
        "check.json",
        "checkpoint.safetensors",
        "config.json",
        "curve.csv",
        "curve.png",
        "training-state.pt",
    ]
    assert "energy distance" in out and "warning" not in error
    metadata = read_metadata(run / "checkpoint.safetensors")
    assert metadata["kind"] == "student" and metadata["teacher"] == checkpoint_digest(teacher)
    assert metadata["training"]["steps_done"] == 30 and len(metadata["levels"]) == 2
    assert read_curve(run / "curve.csv")[-1].measured["energy distance"] == pytest.approx(
        metadata["training"]["final_energy distance"]
    )
    rows = json.loads((run / "check.json").read_text())["rows"]
    assert [(row["samples_of"], row["calls"]) for row in rows] == [
        ("teacher", 24),
        ("student", 2),
        ("teacher", 1),
        ("teacher", 2),
        ("teacher", 4),
    ]
    assert set(rows[0]["variance"]) == {"x", "y"}
    assert abs(rows[0]["energy_distance"]) < 0.05 < rows[2]["energy_distance"]
    before = (run / "check.json").read_bytes()
    (run / "check.json").unlink()
    assert distil("--resume", "--output", run) == 0
    assert (run / "check.json").read_bytes() == before


def test_one_call_begins_at_the_highest_level(data, teacher, tmp_path):
    run = tmp_path / "run"
    assert distil(teacher, data, "--output", run, *FAST, "--steps", 2, "--calls", 1) == 0
    assert load_student(run / "checkpoint.safetensors").levels == pytest.approx((40.0,))


def test_a_student_may_have_a_network_of_its_own(data, teacher, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    given = ["--network", "unet", "--widths", "16", "8", "--blocks", "2"]
    assert distil(teacher, data, "--output", run, *FAST, "--steps", 2, *given) == 0
    document = json.loads((run / "config.json").read_text())
    assert document["configuration"]["network"] == "unet"
    architecture = document["policy"]["architecture"]
    assert architecture["network"] == "unet" and architecture["options"]["widths"] == [16, 8]
    assert read_metadata(run / "checkpoint.safetensors")["architecture"] == architecture
    student = load_student(run / "checkpoint.safetensors")
    policy = load_checkpoint(teacher)
    assert student.jump.network.options["blocks"] == 2
    assert torch.equal(student.normaliser.scale, policy.normaliser.scale)
    # The teacher's network is not begun with, even where it is one of this kind and size.
    same = ["--network", "mlp", "--width", "32", "--depth", "1", "--learning-rate", "1e-9"]
    assert distil(teacher, data, "--output", other, *FAST, "--steps", 1, *same) == 0
    jump = load_student(other / "checkpoint.safetensors").jump.state_dict()
    weights = policy.state_dict()
    assert jump.keys() == weights.keys()
    assert not torch.allclose(jump["network.enter.weight"], weights["network.enter.weight"])


def test_a_student_may_stand_in_for_its_teacher(data, teacher, stand_in, tmp_path, capsys):
    run = tmp_path / "run"
    given = ["--stand-in", stand_in, "--reuse", "2", "--network", "mlp", "--width", "16"]
    assert distil(teacher, data, "--output", run, *FAST, "--steps", 3, *given) == 0
    metadata, found = (read_metadata(path) for path in (run / "checkpoint.safetensors", stand_in))
    assert metadata["levels"] == found["levels"]
    assert metadata["teacher"] == checkpoint_digest(teacher)
    assert metadata["training"]["stand_in_digest"] == checkpoint_digest(stand_in)
    assert metadata["training"]["reuse"] == 2
    moved = shutil.copy(stand_in, tmp_path / "moved.safetensors")
    assert distil("--resume", "--output", run, "--stand-in", moved) == 0
    tensors = read_tensors(moved)
    name = next(iter(tensors))
    write_tensors(moved, {**tensors, name: tensors[name] + 1}, found)
    capsys.readouterr()
    assert distil("--resume", "--output", run, "--stand-in", moved) != 0
    assert "is not the stand-in that this began with" in capsys.readouterr().err


def test_who_cannot_stand_in_is_refused(data, teacher, stand_in, tmp_path, capsys):
    def refused(checkpoint, *more):
        given = ["--output", tmp_path / "run", *FAST, "--stand-in", checkpoint, *more]
        assert distil(teacher, data, *given) != 0
        assert not (tmp_path / "run/config.json").exists()
        return capsys.readouterr().err

    assert "is the checkpoint of no student" in refused(teacher)
    another = tmp_path / "another.safetensors"
    write_tensors(another, read_tensors(stand_in), read_metadata(stand_in) | {"teacher": "f" * 64})
    assert "was distilled from another policy" in refused(another)
    write_tensors(another, read_tensors(stand_in), read_metadata(stand_in) | {"levels": [40.0]})
    assert "takes 1 call for a sample" in refused(another)
    assert distil(teacher, data, "--output", tmp_path / "one", *FAST, "--steps", 1,
                  "--stand-in", another, "--calls", 1) == 0  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (signal.SIGTERM, []),
        (signal.SIGKILL, []),
        (signal.SIGTERM, ["--stand-in", "--network", "mlp", "--width", "16", "--reuse", "3"]),
    ],
)
def test_a_killed_run_ends_with_the_bits_of_one_that_was_not(
    data, teacher, stand_in, tmp_path, kind, more
):
    whole, run = tmp_path / "whole", tmp_path / "run"
    given = [*FAST, "--steps", "400"]
    for word in more:
        given += [word, stand_in] if word == "--stand-in" else [word]
    assert distil(teacher, data, "--output", whole, *given) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "codi_core.cli.distil", teacher, data, "--output", run, *given],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 300
    while not (run / "curve.csv").exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(kind)
    _, error = process.communicate(timeout=300)
    assert process.returncode in (130, -9) and "Traceback" not in error
    assert not (run / "check.json").exists()
    assert distil("--resume", "--output", run) == 0
    one, other = (read_tensors(folder / "checkpoint.safetensors") for folder in (whole, run))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (whole / "check.json").read_bytes() == (run / "check.json").read_bytes()


def test_a_run_is_gone_on_with_from_its_own_teacher_alone(data, teacher, tmp_path, capsys):
    run, copy = tmp_path / "run", tmp_path / "teacher.safetensors"
    shutil.copy(teacher, copy)
    assert distil(copy, data, "--output", run, *FAST, "--steps", 2) == 0
    moved = copy.rename(tmp_path / "moved.safetensors")
    assert distil("--resume", "--output", run) != 0
    assert "teacher.safetensors does not exist" in capsys.readouterr().err
    assert distil(moved, data, "--resume", "--output", run) == 0
    tensors = read_tensors(moved)
    name = next(iter(tensors))
    write_tensors(copy, {**tensors, name: tensors[name] + 1}, read_metadata(moved))
    capsys.readouterr()
    assert distil(copy, data, "--resume", "--output", run) != 0
    assert "is not the teacher that this began with: its sha256 is" in capsys.readouterr().err
    assert distil("--resume", "--output", run, "--calls", 1) == 2
    assert "--calls was 2" in capsys.readouterr().err


def other_data(root, features, rate=10):
    rng = np.random.default_rng(0)
    with DatasetWriter(root, features, rate, "toy") as writer:
        for _ in range(3):
            values = {
                name: rng.normal(size=(8, *feature.shape)) for name, feature in features.items()
            }
            writer.add_episode(values, "t")
    return root


STATE, ACTION = FeatureSpec((2,)), FeatureSpec((2,), ("x", "y"))


@pytest.mark.parametrize(
    ("features", "rate", "words"),
    [
        ({"observation.pose": STATE, "action": ACTION}, 10, "no numeric feature 'observation.sta"),
        (
            {"observation.state": FeatureSpec((3,)), "action": ACTION},
            10,
            "the shape of 'observation.state' is (3,), the teacher's is (2,)",
        ),
        (
            {"observation.state": STATE, "action": FeatureSpec((2,), ("v", "w"))},
            10,
            "what 'action' consists of is ['v', 'w'], the teacher's is ['x', 'y']",
        ),
        (
            {"observation.state": STATE, "action": ACTION},
            20,
            "the control rate [Hz] is 20.0, the teacher's is 10.0",
        ),
    ],
)
def test_data_of_something_else_are_refused(teacher, tmp_path, capsys, features, rate, words):
    data = other_data(tmp_path / "set", features, rate)
    assert distil(teacher, data, "--output", tmp_path / "run", *FAST, "--steps", 2) != 0
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert not (tmp_path / "run/config.json").exists()


def test_other_demonstrations_of_the_task_are_named(teacher, tmp_path, capsys):
    data = write_gaussian(tmp_path / "other", seed=1)
    assert distil(teacher, data, "--output", tmp_path / "run", *FAST, "--steps", 2) == 0
    assert "was trained on other demonstrations than those in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "x"], "give the checkpoint of the policy, and the folder of"),
        (["{teacher}", "--output", "x"], "give the checkpoint of the policy, and the folder of"),
        (["{teacher}", "{data}"], "--output"),
        (["nowhere", "{data}", "--output", "{tmp}/x"], "nowhere does not exist"),
        (["{tmp}", "{data}", "--output", "{tmp}/x"], "is a folder: give the checkpoint"),
        (["{tmp}/cut", "{data}", "--output", "{tmp}/x"], "is damaged or truncated"),
        (["{teacher}", "nowhere", "--output", "{tmp}/x"], "info.json is missing"),
        (["{teacher}", "{data}", "--output", "{tmp}/x", "--calls", "3"], "--calls: invalid choice"),
        (["{teacher}", "{data}", "--output", "{tmp}/x", "--level", "0"], "--level: must be a pos"),
        (
            ["{teacher}", "{data}", "--output", "{tmp}/x", "--solver-calls", "1"],
            "--solver-calls: must be a whole number of at least 2",
        ),
        (
            ["{teacher}", "{data}", "--output", "{tmp}/x", "--network", "gru"],
            "--network: invalid choice: 'gru' (choose from",
        ),
        (
            ["{teacher}", "{data}", "--output", "{tmp}/x", "--network", "mlp", "--kernel", "3"],
            "unknown option --kernel",
        ),
        (
            ["{teacher}", "{data}", "--output", "{tmp}/x", "--network", "mlp", "--width", "4"],
            "--width: must be a whole number of at least 8",
        ),
        (
            ["{teacher}", "{data}", "--output", "{tmp}/x", "--width", "64"],
            "--width is an option of --network mlp, and the student's is teacher",
        ),
        (
            ["{teacher}", "{data}", "--output", "{tmp}/x", "--network", "mlp", "--blocks", "2"],
            "--blocks is an option of --network unet, and the student's is mlp",
        ),
        (
            ["{teacher}", "{data}", "--output", "{tmp}/x", "--stand-in", "nowhere"],
            "nowhere does not exist",
        ),
        (
            ["{teacher}", "{data}", "--output", "{tmp}/x", "--reuse", "0"],
            "--reuse: must be a whole number of at least 1",
        ),
        (["--resume", "--output", "{tmp}/x"], "no run to resume"),
    ],
)
def test_mistakes_end_with_a_message(data, teacher, tmp_path, capsys, arguments, words):
    (tmp_path / "cut").write_bytes(teacher.read_bytes()[:200])
    filled = [text.format(data=data, tmp=tmp_path, teacher=teacher) for text in arguments]
    assert distil(*filled) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert not (tmp_path / "x/config.json").exists()


def test_a_student_is_no_teacher(data, teacher, tmp_path, capsys):
    run = tmp_path / "run"
    assert distil(teacher, data, "--output", run, *FAST, "--steps", 2) == 0
    student = run / "checkpoint.safetensors"
    assert distil(student, data, "--output", tmp_path / "again", *FAST) != 0
    assert "is a student: it draws samples, and is no denoiser" in capsys.readouterr().err
