"""``codi-run`` and ``codi-collect`` from end to end, on the example plugin's task."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from plugin_path import (
    command,
    environment,
    heed_interrupts,
    install,
    install_bad_costs,
    install_example,
)

from codi_core.cli.collect import main as collect
from codi_core.cli.run import main
from codi_core.files.folders import exclusive
from codi_core.host.assembly import OpenTask, make_predictor, planners
from codi_core.host.choices import Choice
from codi_core.predictors import Predictor
from codi_core.resources import Resources

TASK = ["--task", "example-points"]
PLAIN = ["--no-video", "--no-report"]
FAST = [*TASK, "--episodes", "4", "--worlds", "2", "--max-seconds", "1", *PLAIN]


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example plugin and the bad costs, installed; the present folder is a fresh one."""
    folder = tmp_path / "site"
    install_example(folder)
    install_bad_costs(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def metrics(folder: str = "run") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, "metrics.json").read_text())
    return content


def configuration(folder: str = "run") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, "config.json").read_text())
    return content["configuration"]


def run(*arguments: str, output: str = "run") -> dict[str, Any]:
    """Run the fast task and return its metrics."""
    assert main([*FAST, "--output", output, *arguments]) == 0
    return metrics(output)


def test_a_run_writes_everything_and_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TASK, "--episodes", "6", "--seed", "3", "--output", "run"]) == 0
    out = capsys.readouterr().out
    for name in ("metrics.json", "episodes.jsonl", "report.png", "video.mp4"):
        assert Path("run", name).stat().st_size > 0
        assert f"wrote run/{name}" in out
    found = metrics()
    assert found["success_rate"] == 1.0
    assert (found["task"], found["method"], found["seed"]) == ("example-points", "codi", 3)
    assert found["rollouts_per_replan"] == 8 * 64
    assert found["task_metrics"]["min_gap_m"]["median"] < 0.1
    assert sorted(path.name for path in Path("run/traces").iterdir()) == [
        f"episode-{number:05d}.npz" for number in range(4)
    ]
    assert "completion time [s] mean" in out


def test_a_folder_that_another_process_writes_is_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with exclusive(Path("run")):
        assert main([*FAST, "--output", "run"]) == 2
        assert main([*FAST, "--output", "run", "--overwrite"]) == 2
    assert "another process is writing 'run'" in capsys.readouterr().err
    assert [path.name for path in Path("run").glob("[!.]*")] == []
    assert run()["episodes"] == 4


def test_the_predictor_gets_the_physics_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []

    def noted(opened: OpenTask, choice: Choice, resources: Resources) -> Predictor:
        given.append(resources.threads)
        return make_predictor(opened, choice, resources)

    monkeypatch.setattr(planners, "make_predictor", noted)
    run("--physics-threads", "3")
    assert given == [3]


def test_without_guidance_the_points_do_not_meet() -> None:
    guided = run("--max-seconds", "3", "--method", "codi", output="guided")
    base = run("--max-seconds", "3", "--method", "base", output="base")
    assert guided["success_rate"] == 1.0
    assert base["success_rate"] <= 0.5
    assert base["rollouts_per_replan"] == 0
    assert base["completion_time_s"]["mean"] > guided["completion_time_s"]["mean"]


def test_the_configuration_is_resolved_and_recorded() -> None:
    run(
        "--seed",
        "5",
        "--samples",
        "16",
        "--starts",
        "-5e-1",
        "0.25",
        "--no-randomize",
        "--cost",
        "+early-meeting=2:floor=0.1",
        "--posterior",
        "matched:sigma_data=0.5",
    )
    found = configuration()
    assert found["samples"] == 16
    assert found["steps"] == 8  # the task's
    assert found["cost"] == ["gap=1.0", "early-meeting=2.0:floor=0.1"]
    assert found["posterior"] == "matched:sigma_data=0.5"
    assert found["task_options"] == {"starts": [-0.5, 0.25], "randomize": False}
    assert found["worlds"] == 2
    document = json.loads(Path("run/config.json").read_text())
    assert document["command"][:3] == ["codi-run", "--task", "example-points"]
    assert document["versions"]["codi-example"] == "0.1.0"
    assert document["versions"]["torch"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    for output, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        run("--seed", seed, output=output)
    first, second, third = (Path(name, "episodes.jsonl").read_bytes() for name in "abc")
    assert first == second
    assert first != third


def test_the_number_of_worlds_changes_no_episode() -> None:
    for worlds in ("1", "4"):
        run("--worlds", worlds, output=worlds)
    one, four = (
        [json.loads(line) for line in Path(name, "episodes.jsonl").read_text().splitlines()]
        for name in ("1", "4")
    )
    for left, right in zip(one, four, strict=True):
        assert left["success"] == right["success"]
        assert left["min_gap_m"] == pytest.approx(right["min_gap_m"], abs=1e-4)


def test_a_run_is_reproduced_from_its_folder() -> None:
    run(
        "--seed",
        "9",
        "--samples",
        "8",
        "--cost",
        "early-meeting=0.5",
        "--latency",
        "0.1",
        "--starts",
        "-0.3",
        "0.3",
        output="first",
    )
    assert main(["--from", "first", "--output", "second", *PLAIN]) == 0
    assert Path("first/episodes.jsonl").read_bytes() == Path("second/episodes.jsonl").read_bytes()
    assert configuration("first") == configuration("second")
    assert main(["--from", "first", "--seed", "1", "--output", "third", *PLAIN]) == 0
    assert {**configuration("third"), "seed": 9} == configuration("first")


def test_latency_and_horizon_must_fit() -> None:
    assert main([*FAST, "--execute", "7", "--latency", "0.85", "--output", "run"]) == 2
    assert main([*FAST, "--execute", "7", "--latency", "0.8", "--output", "run"]) == 0
    assert metrics()["episodes"] == 4


# Costs that misbehave.


def test_samples_without_a_cost_are_lost_and_counted() -> None:
    found = run("--cost", "some-nan", "--max-seconds", "3")
    assert found["success_rate"] == 1.0
    # A quarter of all rollouts: 64 samples, 8 steps, 8 plans, 4 worlds.
    assert found["warnings"]["nan_costs"] == 16 * 8 * 8 * 4
    assert found["warnings"]["unguided_steps"] == 0


def test_no_cost_at_all_falls_back_to_the_base_policies_and_is_counted() -> None:
    found = run("--cost", "all-nan", output="nan")
    base = run("--method", "base", output="base")
    assert found["warnings"]["unguided_steps"] == 8 * 3 * 4
    assert found["warnings"]["nan_costs"] == 64 * 8 * 3 * 4
    # The fallback is the product policy; only the noise that the samples used differs.
    assert found["success_rate"] == base["success_rate"] == 0.0


def test_a_cost_that_raises_stops_the_run_with_its_own_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*FAST, "--cost", "raising", "--output", "run"]) == 2
    err = capsys.readouterr().err
    assert "error: cost 'raising' raised KeyError: 'gripper'" in err
    assert "in look_up" in err
    assert 'return {}["gripper"]' in err
    assert "weighted.py" not in err
    assert err.count("Traceback") == 1


def test_wrong_shapes_and_types_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FAST, "--cost", "wrong-shape", "--output", "a"]) == 2
    err = capsys.readouterr().err
    assert "shape (2,)" in err
    assert "(2, 64)" in err
    assert main([*FAST, "--cost", "no-tensor", "--output", "b"]) == 2
    assert "cost 'no-tensor' returned float" in capsys.readouterr().err
    assert main([*FAST, "--cost", "+wrong-shape", "--output", "c"]) == 2
    err = capsys.readouterr().err
    assert "the costs return different shapes" in err
    assert "'wrong-shape' (2,)" in err
    assert "(2, 64)" in err


# Mistakes on the command line.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "example-point"], "unknown task 'example-point'; did you mean 'example-poi"),
        ([], "which task? give --task NAME; valid: example-points"),
        ([*TASK, "--episodes", "0"], "--episodes: must be a whole number of at least 1, not '0'"),
        ([*TASK, "--episodes", "2.5"], "--episodes: must be a whole number"),
        ([*TASK, "--temperature", "-1"], "--temperature: must be a positive number, not '-1'"),
        ([*TASK, "--temperature", "nan"], "--temperature: must be a positive number, not 'nan'"),
        ([*TASK, "--latency", "-0.1"], "--latency: must be zero, a positive number or the word"),
        ([*TASK, "--sigma-min", "20"], "sigma_min < sigma_max"),
        ([*TASK, "--episode", "3"], "unknown option --episode; did you mean --episodes?"),
        ([*TASK, "--method", "cody"], "unknown method 'cody'; did you mean 'codi'?"),
        ([*TASK, "--predictor", "exakt"], "unknown predictor 'exakt'; did you mean 'exact'?"),
        ([*TASK, "--posterior", "matched:sigma=1"], "has no option 'sigma'; its options: sigma_da"),
        ([*TASK, "--sampler", "ancestral:x"], "'x' must have the form option=value"),
        ([*TASK, "--cost", "gab"], "unknown cost 'gab'; did you mean 'gap'?"),
        ([*TASK, "--cost", "gap=heavy"], "the weight 'heavy' is not a finite number"),
        ([*TASK, "--cost", "gap", "--cost", "gap=2"], "names 'gap' twice"),
        ([*TASK, "--cost", "elsewhere"], "cost 'elsewhere' is meant for the task some-other-task"),
        ([*TASK, "--cost", "early-meeting:floor=-1"], "refuses floor=-1: floor must be at least"),
        ([*TASK, "--starts", "1"], "--starts: expected 2 arguments"),
        ([*TASK, "--device", "warp"], "--device warp cannot be used here; there is cpu"),
        ([*TASK, "--device", "meta"], "--device meta cannot be used here; there is cpu"),
        ([*TASK, "--device", "cuda:99"], "--device cuda:99 cannot be used here; there is cpu"),
        ([*TASK, "--execute", "9"], "a plan has 8 usable actions"),
        ([*TASK, "--resume"], "--resume needs --output DIR"),
        ([*TASK, "--starts", "-1e-1"], "--starts: expected 2 arguments"),
        (["--from", "nowhere"], "'nowhere' is not a run folder"),
    ],
)
def test_mistakes_exit_with_2_and_say_what_to_do(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert said in err
    assert "Traceback" not in err
    assert not Path("runs").exists()


def test_plans_that_need_more_memory_than_there_is_are_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def normal(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 PB")

    monkeypatch.setattr("codi_core.planning.NoiseSource.normal", normal)
    assert main([*FAST, "--samples", "1000000", "--output", "run"]) == 2
    err = capsys.readouterr().err
    assert "error: there is not enough memory for this: give fewer --samples, or fewer --" in err
    assert "Traceback" not in err


def test_an_unwritable_folder_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("in the way")
    assert main([*FAST, "--output", "file/run"]) == 2
    assert "cannot write the folder 'file/run'" in capsys.readouterr().err


def test_a_finished_run_is_kept_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("--seed", "1")
    assert main([*FAST, "--seed", "2", "--output", "run"]) == 2
    assert "already holds a run: --resume goes on with it" in capsys.readouterr().err
    assert main([*FAST, "--seed", "2", "--output", "run", "--resume"]) == 2
    assert "cannot resume 'run': seed was 1 and is now 2" in capsys.readouterr().err
    assert run("--seed", "2", "--overwrite")["seed"] == 2


def test_resuming_a_finished_run_may_add_episodes() -> None:
    run()
    assert main(["--resume", "--output", "run", "--episodes", "6", *PLAIN]) == 0
    assert metrics()["episodes"] == 6
    run("--episodes", "6", output="whole")
    assert Path("run/episodes.jsonl").read_bytes() == Path("whole/episodes.jsonl").read_bytes()


def test_a_broken_plugin_warns_and_strict_mode_stops(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        site,
        "codi-broken",
        {"broken": "codi_broken"},
        module="codi_broken",
        source="raise RuntimeError('of my own making')\n",
    )
    run()
    warning = "'broken' of distribution 'codi-broken' is left out: RuntimeError: of my own making"
    assert f"warning: plugin {warning}" in capsys.readouterr().err
    assert main([*FAST, "--output", "strict", "--strict-plugins"]) == 1
    assert "error: plugin 'broken' of distribution 'codi-broken' is broken" in (
        capsys.readouterr().err
    )


def test_help_with_a_task_shows_its_options_and_defaults(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*TASK, "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "--starts LEFT RIGHT where the points start [m] (default: -0.8 0.8)" in out
    assert "--randomize, --no-randomize" in out
    assert "λ, in units of the cost (default: 0.02)" in out
    assert "may follow from it; one of exact (default: exact)" in out
    assert (
        "a set of options that the task names; options given beside it prevail; one of quick" in out
    )


def test_a_picture_that_fails_does_not_spoil_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import codi_core.evaluation.report

    def fail(*arguments: object) -> None:
        raise RuntimeError("no display")

    monkeypatch.setattr(codi_core.evaluation.report, "make_report", fail)
    assert main([*FAST, "--report", "--output", "run"]) == 0
    assert metrics()["episodes"] == 4
    assert "warning: report.png was not written: RuntimeError: no display" in (
        capsys.readouterr().err
    )


# Ctrl-C.


def wait_for_lines(path: Path, count: int) -> None:
    until = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < until, f"{path} never got {count} lines"
        time.sleep(0.01)


@pytest.mark.parametrize("option", [["--resume"], ["--only", "1"]])
def test_a_run_of_another_task_is_not_gone_on_with(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    assert main([*option, "--output", "run", "--task", "other"]) == 2
    said = capsys.readouterr().err
    assert "'run' holds a run of the task 'example-points': leave --task other out" in said


def test_ctrl_c_keeps_finished_episodes_and_resume_completes_the_same_run(
    site: Path, tmp_path: Path
) -> None:
    arguments = [*TASK, "--episodes", "60", "--worlds", "4", *PLAIN, "--output"]
    process = subprocess.Popen(
        [sys.executable, "-m", "codi_core.cli.run", *arguments, "run"],
        cwd=tmp_path,
        env=environment(site),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=heed_interrupts,
    )
    wait_for_lines(Path("run/episodes.jsonl"), 8)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    done = metrics()["episodes"]
    assert 8 <= done < 60
    assert done % 4 == 0
    assert f"interrupted after {done} of 60 episodes" in err
    resume = "codi-run --resume --output run"
    assert resume in err
    assert "Traceback" not in err

    assert main([*resume.split()[1:], *PLAIN]) == 0
    assert metrics()["episodes"] == 60
    assert main([*arguments, "whole"]) == 0
    assert Path("run/episodes.jsonl").read_bytes() == Path("whole/episodes.jsonl").read_bytes()


def test_a_reader_that_leaves_is_no_error(site: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "codi_core.cli.run", "--help"],
        cwd=tmp_path,
        env=environment(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(60) == 0


def test_a_typo_exits_with_2_from_a_shell(site: Path, tmp_path: Path) -> None:
    done = command("codi_core.cli.run", "--task", "exampl-points", folders=(site,), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown task 'exampl-points'; did you mean 'example-po")


# codi-collect.


def test_demonstrations_are_collected(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    assert (
        collect([*TASK, "--episodes", "7", "--worlds", "3", "--seed", "4", "--output", "data"]) == 0
    )
    assert "7 demonstrations with 70 frames from 7 attempts" in capsys.readouterr().out
    info = json.loads(Path("data/meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["fps"]) == (7, 70, 10)
    assert info["robot_type"] == "point"
    content = json.loads(Path("data/collection.json").read_text())
    assert [episode["episode"] for episode in content["demonstrations"]] == list(range(7))
    assert content["seed"] == 4
    assert content["task_options"] == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which task?"),
        (TASK, "where to? give --output DIR"),
        ([*TASK, "--no-randomize", "--output", "data"], "--no-randomize"),
        ([*TASK, "--episodes", "-1"], "--episodes: must be a whole number"),
        (["--task", "example-pionts"], "did you mean 'example-points'?"),
    ],
)
def test_mistakes_in_collecting(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("output", [">/dev/full", ">&-", "| head -n 0"])
def test_who_reads_its_output_does_not_matter(tmp_path: Path, output: str) -> None:
    if "full" in output and not Path("/dev/full").exists():
        pytest.skip("no full device here")
    site = install_example(tmp_path)
    arguments = "--task example-points --episodes 1 --max-seconds 1 --no-video --output run"
    done = subprocess.run(
        [
            "bash",
            "-o",
            "pipefail",
            "-c",
            f"{sys.executable} -m codi_core.cli.run {arguments} {output}",
        ],
        env=environment(site),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert (tmp_path / "run" / "report.png").exists()
