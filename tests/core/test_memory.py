"""What is asked for beyond the memory that there is: said before anything is written or lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from plugin_path import install_example

from codi_core.cli.run import main as run
from codi_core.cli.train import main as train
from codi_core.errors import UsageError
from codi_core.execution import memory
from codi_core.execution.memory import GIB, available_memory, check_memory
from codi_core.policies.networks import build_network
from codi_core.training.footprint import check_network
from tests.core.demonstrations import write_gaussian

RUN = ["--task", "example-points", "--episodes", "2", "--max-seconds", "0.3"]
PLAIN = ["--no-video", "--no-report", "--output", "run"]
TRAIN = ["--steps", "2", "--network", "mlp", "--held-out", "0"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_example(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def a_gibibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_of_machine", lambda: GIB)


def test_a_container_may_have_less_than_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, used = tmp_path / "max", tmp_path / "current"
    most.write_text("5000\n")
    used.write_text("3000\n")
    monkeypatch.setattr(memory, "_LIMITS", ((str(most), str(used)),))
    monkeypatch.setattr(memory, "_of_machine", lambda: 4000)
    assert available_memory("cpu") == 2000
    most.write_text("max\n")
    assert available_memory("cpu") == 4000
    monkeypatch.setattr(memory, "_of_machine", lambda: None)
    assert available_memory("cpu") is None
    check_memory(1e30, "these", "leave them", "cpu")  # nobody knows


def test_this_machine_has_some() -> None:
    found = available_memory("cpu")
    assert found is None or 2**20 < found < 2**60
    assert available_memory("meta") is None


@pytest.mark.usefixtures("a_gibibyte")
def test_what_is_needed_and_what_to_do_are_said() -> None:
    check_memory(GIB, "samples", "give fewer", "cpu")
    with pytest.raises(UsageError) as caught:
        check_memory(3.25 * GIB, "samples", "give fewer", "cpu")
    assert str(caught.value) == (
        "there is not enough memory for this: samples need about 3.2 GiB, and 1.0 GiB are free on "
        "cpu: give fewer"
    )


@pytest.mark.usefixtures("a_gibibyte")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--samples", "1000000000"], "1,000,000,000 samples for each of 2 worlds need about"),
        (["--samples", "900000"], "900,000 samples for each of 2 worlds need about 1.7 GiB, and 1"),
        (
            ["--episodes", "30000", "--worlds", "30000"],
            "64 samples for each of 30,000 worlds need about 1.8 GiB",
        ),
        (["--steps", "1000000000"], "1,000,000,000 denoising steps need about 59.6 GiB"),
    ],
)
def test_samples_worlds_and_steps(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*RUN, *options, *PLAIN]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: there is not enough memory for this: {said}")
    remedy = "--steps" if "--steps" in options else "--samples, or fewer --worlds"
    assert error.endswith(f": give fewer {remedy}\n")
    assert not Path("run").exists()


@pytest.mark.usefixtures("a_gibibyte")
@pytest.mark.parametrize(
    ("options", "said", "remedy"),
    [
        (["--batch-size", "1000000000"], "1,000,000,000 windows of 16 ", "or --history"),
        (["--batch-size", "1000000"], "steps of 1,000,000 examples", "a smaller --batch-size"),
        (["--horizon", "1000000000"], "8 windows of 1,000,000,000 actions", "or --history"),
        (["--history", "1000000000"], "and 1,000,000,000 observations need", "or --history"),
        (["--width", "100000"], "weights in training", "smaller --width or --depth or --expansion"),
        (["--expansion", "10000000"], "weights in training", "--width or --depth or --expansion"),
        (["--width", "16", "--depth", "1000000000"], "weights in training", "or --expansion"),
        (["--network", "unet", "--widths", "64", "30000"], "in training", "--widths or --blocks"),
    ],
)
def test_batches_and_networks(
    options: list[str], said: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gaussian(Path("data"), 2)
    small = ["--width", "16", "--depth", "1"]
    assert train(["data", *TRAIN, *small, "--batch-size", "8", "--output", "run"]) == 0
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    capsys.readouterr()
    network = [] if "--width" in options else small
    given = ["--batch-size", "8", *TRAIN, *network, *options]
    assert train(["data", *given, "--output", "run", "--overwrite"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: there is not enough memory for this: ")
    assert said in error
    assert error.endswith(remedy)
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("mlp", {"width": 520, "depth": 3}),
        ("unet", {"widths": (16, 520), "blocks": 3}),
    ],
)
def test_weights_are_counted_without_making_them(
    kind: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network(kind, 8, 3, 5, **options)
    count = sum(weight.numel() for weight in network.parameters())
    monkeypatch.setattr(memory, "_of_machine", lambda: 5 * 4 * count)
    check_network(kind, 8, 3, 5, options, "cpu")
    monkeypatch.setattr(memory, "_of_machine", lambda: 5 * 4 * count - 1)
    state = torch.get_rng_state()
    with pytest.raises(UsageError, match=f"{count:,} weights in training"):
        check_network(kind, 8, 3, 5, options, "cpu")
    assert torch.equal(torch.get_rng_state(), state)
