"""What a run writes besides its numbers, and that a resumed run writes it, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from plugin_path import install_example

from codi_core.cli.run import main
from codi_core.data import DemonstrationDataset
from codi_core.experiments.provenance import fingerprint
from codi_core.policies import DiffusionPolicy
from codi_core.training import save_checkpoint

FAST = ["--task", "example-points", "--max-seconds", "0.5", "--worlds", "3"]
PLAIN = ["--no-video", "--no-report"]


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example plugin, installed; the present folder is a fresh one."""
    install_example(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures() -> list[str]:
    return [name for name in ("report.png", "video.mp4") if Path("run", name).exists()]


def traced() -> list[int]:
    return [
        int(path.stem.removeprefix("episode-")) for path in sorted(Path("run/traces").iterdir())
    ]


def config() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path("run/config.json").read_text())
    return content


def run(*arguments: str) -> int:
    return main([*arguments, "--output", "run"])


def test_events_of_named_episodes_are_kept_without_a_video() -> None:
    assert run(*FAST, "--episodes", "6", *PLAIN, "--video-episodes", "5") == 0
    assert traced() == [0, 1, 2, 3, 5]
    assert pictures() == []


@pytest.mark.parametrize("more", [[], ["--no-video"]])
def test_an_episode_that_the_run_does_not_have_is_named(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*FAST, "--episodes", "3", "--video-episodes", "0", "7", "3", *more) == 2
    assert "--video-episodes 7 3: episodes are numbered from 0, and the last of 3 is 2" in (
        capsys.readouterr().err
    )
    assert not Path("run").exists()


def test_a_resumed_run_writes_what_it_wrote_before() -> None:
    assert run(*FAST, "--episodes", "2", *PLAIN, "--video-episodes", "1") == 0
    assert run("--resume", "--episodes", "3") == 0
    assert pictures() == []
    assert config()["written"] == {
        "report": False,
        "video": False,
        "video_episodes": [1],
        "record": None,
    }
    assert run("--resume", "--report") == 0
    assert run("--resume") == 0
    assert pictures() == ["report.png"]
    assert config()["written"]["report"] is True


def test_a_resumed_run_goes_on_with_its_recording(site: Path, monkeypatch) -> None:
    assert run(*FAST, "--episodes", "3", *PLAIN, "--record", "log") == 0
    (site / "elsewhere").mkdir()
    monkeypatch.chdir(site / "elsewhere")
    assert main(["--resume", "--episodes", "6", "--output", "../run"]) == 0
    assert DemonstrationDataset.load(site / "log").episodes == 6


@pytest.mark.parametrize(
    "written", [3, {"report": "yes"}, {"video_episodes": [-1]}, {"movie": True}, {"record": 1}]
)
def test_damage_to_it_is_named(written: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*FAST, "--episodes", "1", *PLAIN) == 0
    Path("run/config.json").write_text(json.dumps({**config(), "written": written}))
    capsys.readouterr()
    assert run("--resume") == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_there_must_be_a_run_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--resume") == 2
    assert "there is no run to resume in 'run': leave --resume out and give --task NAME" in (
        capsys.readouterr().err
    )
    assert run(*FAST, "--episodes", "1", *PLAIN, "--resume") == 0  # what may have been killed early


def checkpoint(path: Path, seed: int) -> str | None:
    """A small policy for the example task, and the digest of its file."""
    from codi_core import experiments

    spec = experiments.prepare("example-points").product().factors[0].policy.spec
    torch.manual_seed(seed)
    save_checkpoint(DiffusionPolicy.build(spec, "mlp", width=16, depth=1), path)
    return fingerprint(path)


def test_the_weights_that_a_run_used_are_named_and_kept_to(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = checkpoint(site / "folder" / "checkpoint.safetensors", 0)
    given = ["--policy", "diffusion", "--checkpoint", "folder"]
    assert run(*FAST, "--episodes", "1", *PLAIN, *given) == 0
    assert config()["checkpoint_sha256"] == {"point": digest}
    assert run("--resume", "--episodes", "2") == 0
    assert checkpoint(site / "folder" / "checkpoint.safetensors", 1) != digest
    capsys.readouterr()
    assert run("--resume", "--episodes", "3") == 2
    assert "cannot resume 'run': the checkpoint of 'point' has changed since" in (
        capsys.readouterr().err
    )


def test_a_folder_without_the_checkpoint_is_named(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "folder").mkdir()
    (site / "folder" / "arm.safetensors").touch()
    given = ["--policy", "diffusion", "--checkpoint", "folder"]
    assert run(*FAST, "--episodes", "1", *given) == 2
    told = capsys.readouterr().err
    assert "has no checkpoint point.safetensors or checkpoint.safetensors for the agents of" in told
    assert "it has arm.safetensors" in told
    checkpoint(site / "folder" / "point.safetensors", 0)
    assert run(*FAST, "--episodes", "1", *PLAIN, *given) == 0
