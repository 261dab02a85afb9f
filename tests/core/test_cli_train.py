"""codi-train, from the command line to the checkpoint."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import attrs
import pytest
import torch

from codi_core.cli.train import main
from codi_core.data import DemonstrationDataset, segments
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


def test_ctrl_c_saves_and_resuming_ends_as_if_nothing_had_happened(data, tmp_path):
    steps = ["--steps", 1500]
    assert train(data, "--output", tmp_path / "whole", *SMALL, *steps) == 0
    process = run_in_background(data, "--output", tmp_path / "run", *SMALL, *steps)
    wait_for(tmp_path / "run" / "curve.csv")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
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
    assert "--resume goes on" in capsys.readouterr().err
    assert train(data, "--output", run, *SMALL, "--steps", 6, "--overwrite") == 0
    assert read_curve(run / "curve.csv")[-1].step == 6
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/love.txt").write_text("x")
    assert train(data, "--output", tmp_path / "letters", *SMALL, "--overwrite") == 2


def test_resuming_refuses_other_settings_and_other_data(tmp_path, capsys):
    data = write_gaussian(tmp_path / "set")
    run = tmp_path / "run"
    assert train(data, "--output", run, *SMALL, "--steps", 5) == 0
    assert train("--resume", "--output", run, "--steps", 9) == 2
    assert "--steps was 5" in capsys.readouterr().err
    other = write_gaussian(tmp_path / "other", seed=1)
    assert train(other, "--resume", "--output", run) == 2
    assert "is not the data" in capsys.readouterr().err


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
