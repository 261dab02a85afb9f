"""Parts of other people's that return what their interfaces forbid: each is named, in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from plugin_path import install, install_example

from codi_core.cli.run import main

RUN = ["--episodes", "2", "--max-seconds", "0.5", "--samples", "6", "--steps", "2"]
PLAIN = ["--no-video", "--no-report"]
FLOATS = r"; it must be a tensor of floating-point numbers of the shape "


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    install_example(folder)
    source = (Path(__file__).parent / "bad_parts.py").read_text()
    install(folder, "codi-bad-parts", {"bad": "bad_parts"}, source=source, module="bad_parts")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)


def complaint(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What a run says that ends with the exit code 2: one line, no traceback."""
    task = [] if "--task" in options else ["--task", "example-points"]
    code = main([*task, *RUN, *PLAIN, "--output", "run", *options])
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert code == 2
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    return last.removeprefix("error: ")


def wrong(shape: tuple[int, ...]) -> dict[str, str]:
    """What is said of each change of a tensor of this shape, as ``bad_parts.TENSORS`` has them."""

    def found(*sizes: int) -> str:
        return rf"with the shape {re.escape(str(sizes))}; it must be {re.escape(str(shape))}$"

    return {
        "none": f"as None{FLOATS}{re.escape(str(shape))}$",
        "array": f"as an instance of ndarray{FLOATS}",
        "whole": f"as a tensor of torch.int32 of the shape .*{FLOATS}",
        "without-worlds": found(*shape[1:]),
        "short": found(*shape[:-1], shape[-1] - 1),
        "one-world": found(1, *shape[1:]),
        "twice": found(shape[0], *[2 * size for size in shape[1:]]),
    }


# B = 2 worlds, M = 6 samples, D = 2 agents · 8 actions.
DRAWN = {
    **wrong((2, 6, 16)),
    "nothing": r"bad_parts\.Posterior\.draw\(\) returned None; it must be a PosteriorSamples",
    "tensor": r"returned a tensor of torch.float32 of the shape \(2, 6, 16\); it must be a Pos",
    "fewer": r"returned samples with the shape \(2, 5, 16\); it must be \(2, 6, 16\)",
    "weights": r"returned log-weights with the shape \(6,\); it must be \(2, 6\)",
    "wide-weights": r"returned log-weights with the shape \(2, 6, 16\); it must be \(2, 6\)",
}
FORESEEN = {
    "none": "returned None; it must be a Prediction",
    "trajectory": "returned an instance of Trajectory; it must be a Prediction",
    "no-trajectory": "returned no trajectory",
    "without-worlds": r"'positions' of the shape \(6, 8, 2\); it must begin with the axes B M K",
    "without-samples": r"'positions' of the shape \(2, 8, 2\); it must begin .*, for 2 worlds B",
    "fewer": r"'positions' of the shape \(2, 5, 8, 2\); it must begin .* and 6 samples M",
    "valid-shape": r"`valid` as a tensor of torch.bool of the shape \(3,\); .* shape \(2, 6\)",
    "valid-numbers": r"`valid` as a tensor of torch.float32 of .*; it must be a tensor of booleans",
    "valid-list": "`valid` as an instance of list; it must be a tensor of booleans",
}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("guidance", ["monte-carlo", "hybrid"])
def test_a_posterior(name: str, guidance: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "--posterior", f"bad-{name}", "--guidance", guidance)
    assert said.startswith("bad_parts.Posterior.draw() returned ")
    assert re.search(DRAWN[name], said)


@pytest.mark.parametrize("method", ["codi", "search"])
@pytest.mark.parametrize(("name", "message"), wrong((2, 16)).items())
def test_a_guidance(
    name: str, message: str, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = complaint(capsys, "--guidance", f"bad-{name}", "--method", method)
    assert said.startswith("bad_parts.Guided's denoiser returned a chunk ")
    assert re.search(message, said)


def test_a_guidance_without_a_denoiser(capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(capsys, "--guidance", "bad-no-denoiser") == (
        "bad_parts.Guided.guide() returned None; it must be a denoiser, a function of a_t and sigma"
    )


@pytest.mark.parametrize(
    ("method", "size"), [("codi", 16), ("base", 16), ("best-of", 6 * 16)], ids=str
)
@pytest.mark.parametrize("name", wrong((2, 16)))
def test_a_sampler(name: str, method: str, size: int, capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "--sampler", f"bad-{name}", "--method", method)
    assert said.startswith("bad_parts.Sampled.sample() returned chunks ")
    assert re.search(wrong((2, size))[name], said)


@pytest.mark.parametrize(("name", "message"), FORESEEN.items())
def test_a_predictor(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "--predictor", f"bad-{name}")
    assert said.startswith("bad_parts.Foresight.predict() returned ")
    assert re.search(message, said)


@pytest.mark.parametrize(("name", "message"), wrong((4, 8)).items())
def test_a_base_policy(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two agents share it: their chunks are denoised in one call."""
    said = complaint(capsys, "--policy", f"bad-{name}")
    assert said.startswith("bad_parts.Policy's denoiser returned a chunk ")
    assert re.search(message, said)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--policy", "bad-no-denoiser"], r"bad_parts\.Policy\.denoiser\(\) returned None; it mus"),
        (
            ["--policy", "bad-spec"],
            "base policy 'bad-spec' can't be used: the `spec` of its Unspec",
        ),
        (["--sampler", "bad-schedule"], "the `schedule` of its Unscheduled is nothing; it must be"),
        (["--method", "bad-layout"], "method 'bad-layout' can't be used: the `layout` of its Unpl"),
        (
            ["--posterior", "abstract"],
            "'abstract' .* its class Abstract is abstract; it lacks dr",
        ),
        (["--cost", "bad-none"], "cost 'bad-none' returned NoneType: it must return a .* real num"),
        (["--cost", "bad-array"], "cost 'bad-array' returned ndarray: it must return a"),
        (["--cost", "bad-complex"], "cost 'bad-complex' returned torch.complex64: it must return"),
        (["--cost", "bad-short"], r"bad-short returned shape \(2, 5\); .* each of the \(2, 6\)"),
        (["--cost", "bad-transposed"], r"bad-transposed returned shape \(6, 2\); it must return"),
        (["--cost", "gap", "--cost", "bad-twice"], r"'gap' \(2, 6\), 'bad-twice' \(2, 12\); all"),
        (["--cost", "needs-radius"], "cost 'needs-radius' needs its option 'radius': write NAME:r"),
        (["--cost", "function"], r"if gap_of\(\) is the cost itself, register a class for it"),
        (["--cost", "instance"], "an instance of Gap is registered where a factory belongs"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_other_promises(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.search(message, complaint(capsys, *options))


@pytest.mark.parametrize(
    ("option", "kind", "wanted"),
    [
        ("--posterior", "posterior", "PosteriorApproximation"),
        ("--guidance", "guidance", "Guidance"),
        ("--sampler", "sampler", "Sampler"),
        ("--predictor", "predictor", "Predictor"),
        ("--policy", "base policy", "BasePolicy"),
        ("--method", "method", "Planner"),
        ("--cost", "cost", "CostFunction"),
    ],
)
@pytest.mark.parametrize(
    ("made", "found"),
    [
        ("nothing", "nothing"),
        ("class", "the class IsotropicPosterior"),
        ("other", "the class ExactPredictor"),
        ("number", "an instance of float"),
    ],
)
def test_what_a_factory_makes(
    option: str, kind: str, wanted: str, made: str, found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = complaint(capsys, option, f"made-{made}")
    assert said == (
        f"{kind} 'made-{made}' cannot be made: its factory made {found}; it must make an instance "
        f"of {wanted}"
    )


@pytest.mark.parametrize(
    "option", ["--posterior", "--guidance", "--sampler", "--predictor", "--policy", "--cost"]
)
def test_a_factory_that_raises(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, option, "made-raises")
    assert said.endswith("'made-raises' cannot be made: KeyError: 'elbow'")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no-parts",
            "task 'bad-no-parts' .* made nothing; it must make an instance of TaskParts",
        ),
        ("no-costs", r"task 'bad-no-costs': costs\(\) must return factories by name, not None"),
        ("no-options", "the options of task 'bad-no-options' .* must be an attrs class"),
        ("metrics", "a task's `metrics` must be a Metrics, not None"),
        ("settings", "a task's `settings` must be a PlanSettings, not None"),
        ("costs", r"a task's `default_costs` must be a Mapping, not \['gap'\]"),
        ("rate", "a task's `rate_hz` must be a positive number, not nan"),
        ("renderer", "a task's `renderer` must be a Renderer or None, not 3"),
        ("predictor", "predictor 'exact' cannot be made: its factory made nothing"),
        ("environment", "the environment of task 'bad-environment' cannot be made"),
        ("step", "SimulatedPlant observed None; it must be a Step"),
        ("time", "a Step whose time is None; it must be a number of seconds"),
        ("no-events", "a Step whose events is None; it must be a mapping by names"),
        ("event", "the event 'positions' of earlier control steps is missing: there are none"),
        ("event-shape", r"'positions' has the shape \(1, 2\); it must have a row for each of 2 wo"),
        ("observation", "observed 'offsets' as an instance of list; it must be a tensor"),
        ("observation-rows", r"'offsets' has the shape \(1, 2\); it must have a row for each of 2"),
        (
            "map-nothing",
            r"the observation map of the agents \(0,\) returned None; it must be",
        ),
        ("map-name", "returned other, without the 'offset' that is read"),
        ("map-width", r"'offset' as .* \(2, 1, 2\); it must be a tensor \(worlds, history, 1\)"),
        ("map-history", r"'offset' as .* \(2, 1\); it must be a tensor \(worlds, history, 1\)"),
        ("record", r"Metrics\.episode\(\) returned a NoneType; it must be a record"),
        ("record-missing", "returned a record without 'completion_time_s'"),
        ("record-text", "returned a record whose 'success' is 'yes'; it must be true or false"),
        ("record-time", "a success whose 'completion_time_s' is 'soon'; it must be a number"),
        ("record-json", "returned a record that can't be written as JSON: set is not JSON-able"),
        ("made", "task 'bad-made' of 'codi-bad-parts' cannot be made: its factory made nothing"),
        ("class", "its factory made the class PointsTask; it must make an instance of Task"),
        ("argument", "its factory needs an argument 'robots', which nobody gives"),
    ],
    ids=lambda value: value if " " not in value else "",
)
def test_a_task(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(message, complaint(capsys, "--task", f"bad-{name}"))


def test_what_a_task_foresees(capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "--task", "bad-advance", "--latency", "0.1")
    assert said.startswith("the task's `advance` returned a tensor of torch.float32 of the shape ")
    assert said.endswith(
        "it must be a pair, the state and the named observations that follow from it"
    )
