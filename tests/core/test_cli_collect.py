"""``codi-collect``: what is collected stays, whatever ends it, and can be gone on with."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from plugin_path import command, environment, heed_interrupts, install_example

from codi_core.cli.collect import main as collect
from codi_core.cli.run import main as run
from codi_core.data import DatasetWriter, DemonstrationDataset, FeatureSpec
from codi_core.experiments import collecting

TASK = ["--task", "example-points"]
SMALL = [*TASK, "--episodes", "7", "--worlds", "3", "--seed", "4"]


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example plugin, installed; the present folder is a fresh one."""
    folder = tmp_path / "site"
    install_example(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def contents(folder: str) -> dict[str, bytes]:
    """The files of a data set, and who was demonstrated."""
    root = Path(folder)
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.glob("[dm]*/**/*.*")}
    return files | {"demonstrations": json.dumps(document(folder)["demonstrations"]).encode()}


def document(folder: str) -> dict:
    return json.loads(Path(folder, "collection.json").read_text())


def interrupt_wave(monkeypatch: pytest.MonkeyPatch, number: int) -> pytest.MonkeyPatch:
    """Ctrl-C comes in the midst of a wave, counted from 0."""
    import codi_example

    gather, waves = codi_example.Wanderer.collect, itertools.count()

    def collect_some(self, episodes, writer):
        if next(waves) == number:
            gather(self, episodes[:1], writer)
            raise KeyboardInterrupt
        return gather(self, episodes, writer)

    monkeypatch.setattr(codi_example.Wanderer, "collect", collect_some)
    return monkeypatch


def test_a_resumed_collection_is_the_whole_one_to_the_byte(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect([*SMALL, "--output", "whole"]) == 0
    with monkeypatch.context() as patched:
        interrupt_wave(patched, 1)
        assert collect([*SMALL, "--output", "parts"]) == 130
    error = capsys.readouterr().err
    assert "'parts' has 3 of 7 demonstrations; go on with: codi-collect --resume" in error
    assert DemonstrationDataset.load("parts").episodes == 3
    assert collect(["--resume", "--output", "parts"]) == 0
    assert contents("parts") == contents("whole")
    told = capsys.readouterr().out
    assert "7 demonstrations with 70 frames from 7 attempts" in told
    assert "7 attempts (100.0%) succeeded" in told
    assert document("parts")["seed"] == 4


@pytest.mark.parametrize("write", range(3))
def test_a_collection_that_is_killed_between_its_files_goes_on(
    monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    assert collect([*SMALL, "--output", "whole"]) == 0
    writes, write_durably = itertools.count(), collecting.write_durably

    def killed(path: Path, text: str) -> None:
        if next(writes) == write:
            raise SystemExit
        write_durably(path, text)

    with monkeypatch.context() as patched:
        patched.setattr(collecting, "write_durably", killed)
        with pytest.raises(SystemExit):
            collect([*SMALL, "--output", "parts"])
    assert DemonstrationDataset.load("parts").episodes == (3, 6, 7)[write]
    assert collect(["--resume", "--output", "parts"]) == 0
    assert contents("parts") == contents("whole")


def test_more_demonstrations_can_be_asked_for_later() -> None:
    assert collect([*SMALL, "--output", "whole"]) == 0
    assert collect([*SMALL, "--output", "more", "--episodes", "4"]) == 0
    again = ["--resume", "--output", "more", "--episodes", "7", "--worlds", "2"]
    assert collect(again) == 0
    assert collect(again) == 0  # nothing is missing any more
    whole, more = (DemonstrationDataset.load(name) for name in ("whole", "more"))
    assert more.fingerprint() == whole.fingerprint()
    assert document("more")["demonstrations"] == document("whole")["demonstrations"]


def test_resuming_refuses_other_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert collect([*SMALL, "--output", "data", "--episodes", "2"]) == 0
    before = contents("data")
    assert collect(["--resume", "--output", "data", "--seed", "5"]) == 2
    assert "cannot resume 'data': seed was 4 and is now 5" in capsys.readouterr().err
    assert collect(["--resume", "--output", "elsewhere"]) == 2
    assert "there is no collection to resume in 'elsewhere'" in capsys.readouterr().err
    assert collect(["--resume", "--overwrite", "--output", "data"]) == 2
    assert contents("data") == before
    Path("other").mkdir()
    assert collect(["--resume", "--output", "other"]) == 2


@pytest.mark.parametrize("left", [None, 0, 30])
@pytest.mark.parametrize(
    "file",
    [
        "collection.json",
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        "meta/episodes/chunk-000/file-001.parquet",
        "data/chunk-000/file-001.parquet",
        "data/chunk-000/file-000.parquet",
    ],
)
def test_a_file_that_was_cut_short_is_made_again(file: str, left: int | None) -> None:
    assert collect([*SMALL, "--output", "data"]) == 0
    before, path = contents("data"), Path("data", file)
    if left is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:left])
    assert collect(["--resume", "--output", "data"]) == 0
    assert contents("data") == before


def test_a_kill_right_after_overwriting_leaves_the_new_collection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert collect([*SMALL, "--output", "data"]) == 0
    again = [*TASK, "--episodes", "7", "--worlds", "3", "--seed", "9"]

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(collecting, "write_durably", killed)
        with pytest.raises(SystemExit):
            collect([*again, "--overwrite", "--output", "data"])
    assert document("data")["seed"] == 4  # of the data that were there
    assert collect(["--resume", "--output", "data"]) == 0
    assert collect([*again, "--output", "whole"]) == 0
    assert contents("data") == contents("whole")
    assert document("data")["seed"] == 9


def test_an_interrupted_first_wave_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_wave(monkeypatch, 0)
    assert collect([*SMALL, "--output", "data"]) == 130
    assert "interrupted before there were any demonstrations" in capsys.readouterr().err
    assert not Path("data").exists()


def test_an_overwritten_data_set_stays_until_there_are_demonstrations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert collect([*SMALL, "--output", "data"]) == 0
    before = contents("data")
    again = [*TASK, "--episodes", "2", "--seed", "9", "--overwrite", "--output", "data"]
    with monkeypatch.context() as patched:
        interrupt_wave(patched, 0)
        assert collect(again) == 130
    assert contents("data") == before
    assert collect(again) == 0
    assert (DemonstrationDataset.load("data").episodes, document("data")["seed"]) == (2, 9)


def test_what_holds_something_else_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_wave(monkeypatch, 0)  # would end with 130
    assert run([*TASK, "--episodes", "1", "--no-video", "--no-report", "--output", "run"]) == 0
    for arguments in ([], ["--overwrite"]):
        assert collect([*SMALL, *arguments, "--output", "run"]) == 2
        assert "'run' holds a run, not a data set" in capsys.readouterr().err
    Path("letters").mkdir()
    Path("letters/love.txt").touch()
    assert collect([*SMALL, "--overwrite", "--output", "letters"]) == 2
    assert "nothing says that it holds a data set" in capsys.readouterr().err
    Path("file").touch()
    assert collect([*SMALL, "--output", "file"]) == 2
    writer = DatasetWriter("taken", {"action": FeatureSpec((1,))}, 10, "toy")
    assert collect([*SMALL, "--output", "taken"]) == 2
    assert "another process is writing 'taken'" in capsys.readouterr().err
    writer.discard()
    assert run([*TASK, "--episodes", "1", "--overwrite", "--output", "letters"]) == 0


def test_it_works_in_the_present_folder_and_through_a_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("target").mkdir()
    Path("link").symlink_to("target")
    assert collect([*SMALL, "--output", "link"]) == 0
    assert Path("link").is_symlink()
    assert DemonstrationDataset.load("target").episodes == 7
    Path("here").mkdir()
    monkeypatch.chdir("here")
    assert collect([*SMALL, "--output", "."]) == 0
    assert contents(".") == contents("../target")


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_what_asks_it_to_end_keeps_the_demonstrations(
    site: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    arguments = [*TASK, "--episodes", "1000000", "--worlds", "5", "--output", "data"]
    process = subprocess.Popen(
        [sys.executable, "-m", "codi_core.cli.collect", *arguments],
        env=environment(site),
        cwd=tmp_path,
        preexec_fn=heed_interrupts,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not Path("data/meta/info.json").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(kind)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with: codi-collect --resume --output data" in error
    assert "Traceback" not in error
    done = document("data")["demonstrations"]
    assert DemonstrationDataset.load("data").episodes == len(done) > 0
    assert [record["episode"] for record in done] == list(range(len(done)))
    assert sorted(path.name for path in Path("data").iterdir()) == [
        ".codi-kind",
        ".lock",
        "collection.json",
        "data",
        "meta",
    ]
    assert collect(["--resume", "--output", "data", "--episodes", str(len(done) + 1)]) == 0


@pytest.mark.parametrize("output", ["/dev/full", None])
def test_who_reads_its_output_does_not_matter(
    site: Path, tmp_path: Path, output: str | None
) -> None:
    if output is not None and not Path(output).exists():
        pytest.skip("no full device here")
    arguments = " ".join([*SMALL, "--output", "data"])
    module = f"{sys.executable} -m codi_core.cli.collect {arguments}"
    done = subprocess.run(
        ["bash", "-c", f"{module} {f'>{output}' if output else '>&-'}"],
        env=environment(site),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert DemonstrationDataset.load("data").episodes == 7


def test_a_picture_that_fails_costs_the_picture_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import codi_example

    def fail(*_: object) -> None:
        raise ImportError("matplotlib is not installed")

    monkeypatch.setattr(codi_example.Wanderer, "report", fail)
    assert collect([*SMALL, "--output", "data"]) == 0
    assert "warning: no picture was drawn: ImportError: matplotlib" in capsys.readouterr().err


def test_the_true_rate_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    import codi_example

    monkeypatch.setattr(codi_example, "RATE_HZ", 12.5)
    assert collect([*SMALL, "--output", "data"]) == 0
    assert DemonstrationDataset.load("data").fps == 12.5


def test_a_shell_says_what_is_offered(site: Path, tmp_path: Path) -> None:
    done = command("codi_core.cli.collect", *TASK, "--help", folders=(site,), cwd=tmp_path)
    assert "--episodes N" in done.stdout
    assert "(default: 100)" in done.stdout
    # The task's own options change no demonstration, so they are not offered.
    assert "--starts" not in done.stdout
