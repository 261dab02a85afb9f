"""codi-train, from the command line to the checkpoint."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch

from codi_core.cli.train import main
from codi_core.data import DatasetWriter, DemonstrationDataset, FeatureSpec, segments
from codi_core.files.folders import exclusive
from codi_core.training import load_checkpoint, read_curve, read_metadata
from codi_core.training.settings import RunSettings
from tests.core.demonstrations import write, write_gaussian

SMALL = [
    "--network",
    "mlp",
    "--width",
    "32",
    "--depth",
    "1",
    "--horizon",
    "2",
    "--batch-size",
    "32",
    "--held-out",
    "0.2",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_gaussian(tmp_path_factory.mktemp("data") / "set")


def train(*arguments):
    return main([str(argument) for argument in arguments])


def test_a_run_leaves_everything_behind(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(data, "--output", run, *SMALL, "--steps", 300, "--seed", 3) == 0
    assert sorted(path.name for path in run.glob("[!.]*")) == [
        "checkpoint.safetensors",
        "config.json",
        "curve.csv",
        "curve.png",
        "training-state.pt",
    ]
    assert "checkpoint.safetensors" in capsys.readouterr().out
    config = json.loads((run / "config.json").read_text())
    assert config["configuration"]["seed"] == 3 and config["configuration"]["steps"] == 300
    assert config["versions"]["torch"] == torch.__version__
    assert config["machine"]["torch_threads"] == 1
    metadata = read_metadata(run / "checkpoint.safetensors")
    read = DemonstrationDataset.load(data)
    assert metadata["data"]["fingerprint"] == config["data"]["fingerprint"] == read.fingerprint()
    assert metadata["training"]["steps_done"] == 300
    assert metadata["training"]["final_held_out_loss"] == pytest.approx(
        read_curve(run / "curve.csv")[-1].held_out_loss
    )
    assert config["data"]["held_out_windows"] == 40  # 2 of 12 episodes of 20 frames


def test_the_policy_has_learnt_the_demonstrations(data, tmp_path):
    run = tmp_path / "run"
    assert train(data, "--output", run, *SMALL, "--steps", 500, "--learning-rate", 0.005) == 0
    policy = load_checkpoint(run / "checkpoint.safetensors")
    assert policy.spec.action.names == ("x", "y") and policy.spec.action.rate_hz == 10
    batch = segments(DemonstrationDataset.load(data), 2, ["observation.state"]).gather(
        torch.arange(240)
    )
    # At high noise the denoiser is the mean of the demonstrations given the state.
    noisy = 3 * torch.randn(240, 4, generator=torch.Generator().manual_seed(0))
    flat = policy.denoiser(batch.observation)(noisy, torch.tensor(3.0))
    decoded = policy.normaliser.decode(flat.view(240, 2, 2))[:, 0]
    error = (decoded - 0.5 * batch.observation["observation.state"][:, -1]).square().mean().sqrt()
    assert float(error) < 0.15 < 0.5


def test_the_help_names_the_true_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    told = dict(re.findall(r"--([a-z-]+) (?:(?!--[a-z]).)*?\(default: ([^);]+)", text))
    defaults = {field.name: field.default for field in attrs.fields(RunSettings)}
    assert len(told) > 20
    for name, value in told.items():
        default = defaults[name.replace("-", "_")]
        if name == "observations":
            assert default == ()
        elif isinstance(default, tuple):
            assert value == " ".join(map(str, default))
        elif isinstance(default, str):
            assert value == default
        else:
            assert float(value) == default, name


def run_in_background(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "codi_core.cli.train", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(path, seconds=60):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_resuming_ends_as_if_nothing_had_happened(data, tmp_path, kind):
    steps = ["--steps", 1500]
    assert train(data, "--output", tmp_path / "whole", *SMALL, *steps) == 0
    process = run_in_background(data, "--output", tmp_path / "run", *SMALL, *steps)
    wait_for(tmp_path / "run" / "curve.csv")
    time.sleep(0.3)
    process.send_signal(kind)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in error
    assert f"codi-train --resume --output {tmp_path / 'run'}" in out
    assert train("--resume", "--output", tmp_path / "run") == 0
    one, other = (
        load_checkpoint(tmp_path / name / "checkpoint.safetensors").state_dict()
        for name in ("whole", "run")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "0", "--output", "x"], "steps"),
        (["--output", "x"], "give the folder of the demonstrations"),
        (["--output", "x", "--stepz", "3"], "did you mean --steps"),
        (["{data}"], "--output"),
        (["nowhere", "--output", "{tmp}/x"], "info.json is missing"),
        (["{data}", "--output", "{tmp}/x", "--action", "grip"], "no numeric feature 'grip'"),
        (["{data}", "--output", "{tmp}/x", "--horizon", "7"], "horizon of 7 is not divisible"),
        (["{data}", "--output", "{tmp}/x", "--device", "abacus"], "--device abacus"),
        (["{data}", "--output", "{tmp}/x", "--held-out", "1"], "hold out"),
        (["--resume", "--output", "{tmp}/x"], "no run to resume"),
        (["{data}", "--output", "{tmp}/x", "--held-out", "nan"], "--held-out: must be zero or"),
        (["{data}", "--output", "{tmp}/x", "--noise-mean", "inf"], "--noise-mean: must be a fin"),
        (["{data}", "--output", "{tmp}/x", "--offset", "1.5"], "--offset: must be a whole number"),
        (["{data}", "--output", "{tmp}/x", "--network", "vit"], "--network: invalid choice: 'vit'"),
        (["--resume", "--overwrite", "--output", "{tmp}/x"], "exclude one another"),
    ],
)
def test_mistakes_end_with_a_message_and_2(data, tmp_path, capsys, arguments, words):
    filled = [text.format(data=data, tmp=tmp_path) for text in arguments]
    assert train(*filled) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert not (tmp_path / "x").exists()


def test_an_occupied_folder_is_kept(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(data, "--output", run, *SMALL, "--steps", 5) == 0
    assert train(data, "--output", run, *SMALL, "--steps", 5) == 2
    assert "already holds a training: --resume goes on with it" in capsys.readouterr().err
    assert train(data, "--output", run, *SMALL, "--steps", 6, "--overwrite") == 0
    assert read_curve(run / "curve.csv")[-1].step == 6
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/love.txt").write_text("x")
    assert train(data, "--output", tmp_path / "letters", *SMALL, "--overwrite") == 2
    assert "nothing says that it holds a training" in capsys.readouterr().err
    before = [path.read_bytes() for path in sorted(data.rglob("*.json"))]
    assert train(data, "--output", data, *SMALL, "--overwrite") == 2
    assert "holds a data set, not a training" in capsys.readouterr().err
    assert [path.read_bytes() for path in sorted(data.rglob("*.json"))] == before


def test_a_folder_has_one_writer(data, tmp_path, capsys):
    with exclusive(tmp_path / "run"):
        assert train(data, "--output", tmp_path / "run", *SMALL) == 2
    assert "another process is writing" in capsys.readouterr().err


def test_resuming_refuses_other_settings_and_other_data(tmp_path, capsys):
    data = write_gaussian(tmp_path / "set")
    run = tmp_path / "run"
    assert train(data, "--output", run, *SMALL, "--steps", 5) == 0
    # Threads round sums differently, so the bits would not be those of an uninterrupted run.
    for name, value in (("steps", 9), ("threads", 2), ("device", "meta"), ("network", "unet")):
        assert train("--resume", "--output", run, f"--{name}", value) == 2
        assert f"--{name} was " in capsys.readouterr().err
    other = write_gaussian(tmp_path / "other", seed=1)
    assert train(other, "--resume", "--output", run) == 2
    assert "is not the data" in capsys.readouterr().err
    moved = data.rename(tmp_path / "moved")
    assert train(moved, "--resume", "--output", run.rename(tmp_path / "there")) == 0


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"configuration": 3, "data": {}}'])
def test_a_damaged_configuration_is_named(data, tmp_path, capsys, content):
    run = tmp_path / "run"
    assert train(data, "--output", run, *SMALL, "--steps", 5) == 0
    (run / "config.json").unlink()
    if content is not None:
        (run / "config.json").write_text(content)
    assert train("--resume", "--output", run) == 2
    assert "config.json cannot be read" in capsys.readouterr().err
    assert train(data, "--overwrite", "--output", run, *SMALL, "--steps", 5) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda known: known.pop("depth"), r"settings are different \(depth\)"),
        (lambda known: known.update(colour=1), r"settings are different \(colour\)"),
        (lambda known: known.update(widths=3), "settings of the training are damaged"),
        (lambda known: known.update(horizon=0), "--horizon: must be a whole number"),
    ],
)
def test_settings_of_other_kinds_are_named(data, tmp_path, capsys, change, words):
    run = tmp_path / "run"
    assert train(data, "--output", run, *SMALL, "--steps", 5) == 0
    document = json.loads((run / "config.json").read_text())
    change(document["configuration"])
    (run / "config.json").write_text(json.dumps(document))
    assert train("--resume", "--output", run) == 2
    assert re.search(words, capsys.readouterr().err)


@pytest.mark.parametrize("left", [0, 40])
@pytest.mark.parametrize(
    "file", ["curve.csv", "training-state.pt", "checkpoint.safetensors", "curve.png"]
)
def test_a_file_that_was_cut_short_costs_that_file_alone(data, tmp_path, file, left):
    steps = ["--steps", 150]
    assert train(data, "--output", tmp_path / "whole", *SMALL, *steps) == 0
    assert train(data, "--output", tmp_path / "run", *SMALL, *steps) == 0
    path = tmp_path / "run" / file
    path.write_bytes(path.read_bytes()[:left])
    assert train("--resume", "--output", tmp_path / "run") == 0
    one, other = (
        load_checkpoint(tmp_path / name / "checkpoint.safetensors").state_dict()
        for name in ("whole", "run")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (tmp_path / "run/curve.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("output", [">/dev/full", ">&-", "| head -n 0"])
def test_who_reads_its_output_does_not_matter(data, tmp_path, output):
    if "full" in output and not Path("/dev/full").exists():
        pytest.skip("no full device here")
    run = tmp_path / "run"
    arguments = " ".join(map(str, [data, "--output", run, *SMALL, "--steps", "400"]))
    module = f"{sys.executable} -m codi_core.cli.train {arguments}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{module} {output}"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert read_metadata(run / "checkpoint.safetensors")["training"]["steps_done"] == 400


def test_a_picture_that_fails_costs_the_picture_alone(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert train(data, "--output", tmp_path / "run", *SMALL, "--steps", 5) == 0
    out, error = capsys.readouterr()
    assert "checkpoint: " in out
    assert "warning: curve.png was not written" in error and "codi-core[plots]" in error


def test_dimensions_that_never_change_are_named(tmp_path, capsys):
    rng = np.random.default_rng(0)
    features = {
        "observation.state": FeatureSpec((3,), ("x [m]", "lamp", "y [m]")),
        "action": FeatureSpec((2,), ("v", "w")),
    }
    with DatasetWriter(tmp_path / "set", features, 10, "toy") as writer:
        for _ in range(3):
            state, action = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
            state[:, 1], action[:, 1] = 0.3, action[:, 1] * 1e-6
            writer.add_episode({"observation.state": state, "action": action}, "t")
    assert train(tmp_path / "set", "--output", tmp_path / "run", *SMALL, "--steps", 2) == 0
    error = capsys.readouterr().err
    assert "warning: in the demonstrations 'observation.state' never changes in lamp:" in error
    assert "'action'" not in error
    policy = load_checkpoint(tmp_path / "run/checkpoint.safetensors")
    assert 0.5e-6 < float(policy.normaliser.scale[1]) < 2e-6
    assert policy.observation_normalisers[0].scale[1] == 1


def test_a_feature_can_be_observed_under_another_name(data, tmp_path):
    given = ["--observations", "observation.state=where", "--steps", 3]
    assert train(data, "--output", tmp_path / "run", *SMALL, *given) == 0
    assert train(data, "--output", tmp_path / "plain", *SMALL, "--steps", 3) == 0
    one, other = (
        load_checkpoint(tmp_path / n / "checkpoint.safetensors") for n in ("run", "plain")
    )
    assert one.spec.observation == {"where": (2,)}
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_features_are_chosen_by_name(tmp_path):
    """Data of any kind trains: here a state is observed and another feature predicted."""
    data = write(tmp_path / "set", lengths=(12, 9, 14))
    arguments = [
        "--observations",
        "state.cube",
        "observation.state",
        "--history",
        "2",
        "--action",
        "observation.environment_state",
        "--offset",
        "1",
        "--steps",
        "3",
    ]
    assert train(data, "--output", tmp_path / "run", *SMALL, *arguments) == 0
    spec = load_checkpoint(tmp_path / "run/checkpoint.safetensors").spec
    assert spec.observation == {"state.cube": (7,), "observation.state": (2,)}
    assert spec.action.names == ("observation.environment_state_0",)
    assert (spec.history, spec.action.offset) == (2, 1)


def test_bfloat16_trains(data, tmp_path):
    arguments = [*SMALL, "--steps", "20", "--precision", "bfloat16"]
    assert train(data, "--output", tmp_path / "run", *arguments) == 0
    policy = load_checkpoint(tmp_path / "run/checkpoint.safetensors")
    assert all(value.dtype == torch.float32 for value in policy.parameters())


def test_checkpoints_on_the_way_are_kept_until_the_run_is_replaced(data, tmp_path):
    run, short = tmp_path / "run", ["--steps", 6]
    assert train(data, "--output", run, *SMALL, *short, "--keep-every", 4) == 0
    assert sorted(path.name for path in run.glob("checkpoint*")) == [
        "checkpoint-4.safetensors",
        "checkpoint.safetensors",
    ]
    assert train(data, "--overwrite", "--output", run, *SMALL, *short) == 0
    assert [path.name for path in run.glob("checkpoint*")] == ["checkpoint.safetensors"]
