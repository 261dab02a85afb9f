"""codi-train-baseline: what it leaves behind, resuming to the bit, and what it refuses."""

import re
import subprocess
import sys

import attrs
import pytest
import torch

from codi_baselines.finetuning.on_policy import OnPolicySource
from codi_baselines.finetuning.settings import (
    EditAndDistilSettings,
    MirrorDescentSettings,
    SoftActorCriticSettings,
)
from codi_baselines.finetuning.training import action_range, fine_tuning_parts
from codi_baselines.train.command import main
from codi_core.errors import CheckpointError, CodiError, SpecificationError
from codi_core.experiments import plan
from codi_core.testing import check_device
from codi_core.training import TrainingSession, checkpoint_digest, read_curve, read_metadata
from codi_core.training.checkpoint import read_tensors
from tests.baselines.joint_points import (
    TASK,
    install_task,
    joint,
    single,
    write_demonstrations,
    write_policy,
)
from tests.example_plugin.codi_example import Gap

SMALL = {
    "steps": 8,
    "batch_size": 16,
    "refresh": 3,
    "states": 5,
    "sampling_steps": 2,
    "measured_states": 4,
    "evaluate_every": 4,
    "keep_every": 5,
    "learning_rate": 0.01,
    "warm_up": 1,
}
METHODS = {
    "dpmd-joint": (MirrorDescentSettings, {"samples": 4, "normalise": None}),
    "sdac-joint": (SoftActorCriticSettings, {"samples": 2, "kept": 2, "reverse_samples": 4}),
    "expo-joint": (EditAndDistilSettings, {"samples": 3, "edits": 2}),
}
ROLLOUTS = {"dpmd-joint": 5 * 4, "sdac-joint": 5 * 2 * 4, "expo-joint": 5 * (3 * 2 + 2 * 3)}
"""How many a time the policy is sampled."""


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    install_task(tmp_path / "site", monkeypatch)
    # Pictures take longer than all the rest.
    monkeypatch.setattr("codi_core.training.session.draw_curve", lambda points, path: None)


@pytest.fixture
def data(tmp_path):
    return write_demonstrations(tmp_path / "data")


@pytest.fixture
def policy(tmp_path):
    return write_policy(tmp_path / "joint.safetensors", joint())


def settings(method, data, policy, folder, **changes):
    kind, own = METHODS[method]
    return kind(
        dataset=str(data),
        output=str(folder),
        method=method,
        task=TASK,
        task_options={},
        policy="joint",
        checkpoint=str(policy),
        predictor="exact",
        cost=("gap=2.0",),
        temperature=0.05,
        **{**SMALL, **own, **changes},
    )


def session(*arguments, **changes):
    made = TrainingSession(settings(*arguments, **changes), fine_tuning_parts)
    made.start(["test"])
    return made


def run(made):
    return made.run(lambda progress: None, lambda: False)


def train(*arguments):
    return main([str(argument) for argument in arguments])


def options(values):
    """Settings as options of the command."""
    pairs = ((f"--{name.replace('_', '-')}", value) for name, value in values.items())
    return [word for name, value in pairs if value is not None for word in (name, str(value))]


@pytest.mark.parametrize("method", METHODS)
def test_a_fine_tuned_policy_is_trained_and_planned_with(method, data, policy, tmp_path, capsys):
    folder = tmp_path / "run"
    words = ["--task", TASK, "--checkpoint", policy, "--cost", "gap=2", "--temperature", 0.05]
    given = options({**SMALL, **METHODS[method][1]})
    assert train(method, data, "--output", folder, *words, *given) == 0
    out = capsys.readouterr().out
    assert "step 1/8: loss" in out
    assert "expected_cost" in out
    path, kept = folder / "checkpoint.safetensors", folder / "checkpoint-5.safetensors"
    known = read_metadata(path)
    assert (known["method"], known["cost"], known["temperature"]) == (method, ["gap=2.0"], 0.05)
    assert known["bases"] == {"joint": checkpoint_digest(policy)}
    assert known["rollouts"] == 3 * ROLLOUTS[method]
    assert read_metadata(kept)["rollouts"] == 2 * ROLLOUTS[method]
    rows = [row for row in read_curve(folder / "curve.csv") if row.measured]
    assert [row.measured["rollouts"] for row in rows] == [
        count * ROLLOUTS[method] for count in (1, 2, 3)
    ]
    assert all(0 < row.measured["expected_cost"] < 10 for row in rows)
    planned = {"task": TASK, "checkpoint": policy, "cost": "gap=2.0", "temperature": 0.05}
    found = plan(method=f"{method}:checkpoint={path}", **planned, unguided=2)
    base = plan(method="base", policy="joint", **planned, unguided=2)
    assert found.experiment.config.policy == "joint"
    assert "rollouts" not in found.plan.diagnostics.counts
    assert float((found.plan.flat - base.plan.flat).abs().max()) > 1e-4


def same_end(one, other):
    """Whether two trainings have ended with the same bits."""
    first, second = (read_tensors(made.checkpoint) for made in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("method", METHODS)
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(method, data, policy, tmp_path):
    changes = {"normalise": 1.0} if method == "dpmd-joint" else {}
    whole = session(method, data, policy, tmp_path / "whole", **changes)
    run(whole)
    part = session(method, data, policy, tmp_path / "part", **changes)
    steps = iter(range(5))
    assert not part.run(lambda progress: None, lambda: next(steps, None) is None)
    rest = TrainingSession(part.settings, fine_tuning_parts)
    rest.resume()
    assert rest.trainer.step == 5
    assert run(rest)
    assert same_end(whole, rest)
    assert whole.parts.source.rolled_out == rest.parts.source.rolled_out
    curves = [read_curve(made.folder / "curve.csv") for made in (whole, rest)]
    measured = [[row.measured for row in curve] for curve in curves]
    assert measured[0] == measured[1]


def test_a_training_that_was_killed_while_sampling_goes_on_to_the_same_bits(
    data, policy, tmp_path, monkeypatch
):
    """The state was last saved before; what is sampled anew is the same."""
    whole = session("dpmd-joint", data, policy, tmp_path / "whole")
    run(whole)
    killed = session("dpmd-joint", data, policy, tmp_path / "killed")
    lessons, times = killed.parts.source.method.lessons, []

    def dies(samples, evaluate, generator):
        times.append(samples)
        if len(times) == 3:
            raise KeyboardInterrupt
        return lessons(samples, evaluate, generator)

    killed.trainer.settings = attrs.evolve(killed.trainer.settings, save_every=0.0)
    with monkeypatch.context() as patched:
        patched.setattr(
            type(killed.parts.source.method), "lessons", lambda self, *given: dies(*given)
        )
        with pytest.raises(KeyboardInterrupt):
            run(killed)
    rest = TrainingSession(killed.settings, fine_tuning_parts)
    rest.resume()
    assert 0 < rest.trainer.step < 7
    assert run(rest)
    assert same_end(whole, rest)
    assert rest.parts.source.rolled_out == whole.parts.source.rolled_out


def test_the_command_resumes_without_being_told_what(data, policy, tmp_path, capsys):
    words = ["--task", TASK, "--checkpoint", policy, "--starts", -0.9, 0.7]
    folder, given = tmp_path / "run", options({**SMALL, "samples": 4})
    assert train("dpmd-joint", data, "--output", folder, *words, *given) == 0
    before = read_tensors(folder / "checkpoint.safetensors")
    (folder / "training-state.pt").unlink()
    assert train("--resume", "--output", folder) == 0
    assert "training begins anew" in capsys.readouterr().err
    after = read_tensors(folder / "checkpoint.safetensors")
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert read_metadata(folder / "checkpoint.safetensors")["task_options"]["starts"] == [-0.9, 0.7]
    for other in (["expo-joint"], ["--temperature", 0.3], ["--starts", -0.5, 0.5]):
        assert train("--resume", "--output", folder, *other) == 2
        assert re.search("leave (it|METHOD) out to go on", capsys.readouterr().err)


def test_a_checkpoint_is_refused_for_what_it_was_not_trained_for(data, policy, tmp_path):
    made = session("dpmd-joint", data, policy, tmp_path / "run")
    run(made)
    planned = {
        "task": TASK,
        "method": f"dpmd-joint:checkpoint={made.checkpoint}",
        "checkpoint": policy,
        "cost": "gap=2.0",
        "temperature": 0.05,
        "unguided": 1,
    }
    plan(**planned)
    other = write_policy(tmp_path / "other.safetensors", joint(), seed=1)
    for change, words in (
        ({"temperature": 0.1}, r"the temperature 0\.05, this run has 0\.1"),
        ({"cost": "gap=1.0"}, r"the weight of 'gap' 2\.0, this run has 1\.0"),
        ({"checkpoint": other}, "the base policies joint"),
        ({"method": f"expo-joint:checkpoint={made.checkpoint}"}, "the method dpmd-joint"),
        ({"method": "dpmd-joint"}, "no checkpoint of method 'dpmd-joint' is shipped"),
    ):
        with pytest.raises(CheckpointError, match=words):
            plan(**{**planned, **change})


def test_normalised_costs_depend_on_no_temperature(data, policy, tmp_path):
    made = session("dpmd-joint", data, policy, tmp_path / "run", normalise=1.0)
    run(made)
    assert read_metadata(made.checkpoint)["temperature"] is None


def test_several_factors_are_refused(data, tmp_path):
    policy = write_policy(tmp_path / "point.safetensors", single())
    asked = attrs.evolve(settings("dpmd-joint", data, policy, tmp_path), policy="single")
    with pytest.raises(SpecificationError, match="choose a joint one with --policy"):
        fine_tuning_parts(asked)


def test_a_policy_whose_samples_have_no_cost_is_named(data, policy, tmp_path, monkeypatch):
    made = session("dpmd-joint", data, policy, tmp_path / "run")
    monkeypatch.setattr(Gap, "__call__", lambda self, seen: torch.full((5, 4), torch.inf))
    with pytest.raises(CodiError, match="none of the 20 samples of the policy has a finite cost"):
        run(made)


def test_reverse_samples_are_clipped_to_what_was_demonstrated(data, policy, tmp_path):
    made = session("sdac-joint", data, policy, tmp_path / "run")
    demonstrations = made.parts.source.rollouts.recorded
    found = action_range(demonstrations)
    chunks = demonstrations.chunks(torch.arange(len(demonstrations)))
    assert torch.equal(found.low, chunks.amin(0))
    assert torch.equal(found.high, chunks.amax(0))
    assert torch.equal(made.parts.source.method.within.low, found.low)
    free = session("sdac-joint", data, policy, tmp_path / "free", clip=False)
    assert free.parts.source.method.within is None


@pytest.mark.parametrize("method", METHODS)
def test_everything_works_on_another_device(method, data, policy, tmp_path):
    def run(device):
        parts = fine_tuning_parts(settings(method, data, policy, tmp_path / "run", device=device))
        parts.source.follow(parts.model)
        generator = torch.Generator(device).manual_seed(0)
        batch = parts.source.sample(generator, 8)
        loss = parts.loss(parts.model, batch, generator)
        cost = torch.full((), parts.measures["expected_cost"](parts.model), device=device)
        return loss.detach(), cost, *batch.values.values()

    check_device(run)


def test_examples_are_drawn_by_their_weights_and_states_evenly(data, policy, tmp_path):
    source = session("dpmd-joint", data, policy, tmp_path / "run").parts.source
    assert isinstance(source, OnPolicySource)
    generator = torch.Generator().manual_seed(0)
    source.follow(fine_tuning_parts(settings("dpmd-joint", data, policy, tmp_path / "o")).model)
    source.sample(generator, 1)
    state = source.state()
    weights, chunks = state["collected"][0]["weights"], state["collected"][0]["values"]["actions"]
    source.restore(state)
    batch = source.sample(generator, 4000).values["actions"]
    same = (batch[:, None, None] == chunks).all(-1).double().mean(0)
    assert torch.allclose(same, weights.double() / len(weights), atol=0.03)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dpmd-join", "data", "--task", TASK, "--output", "x"], "dpmd-joint"),
        (["--task", TASK, "--output", "x"], "which method?"),
        (["dpmd-joint", "--task", TASK, "--output", "x"], "give the folder of the demonstrations"),
        (["dpmd-joint", "data", "--output", "x"], "which task?"),
        (["dpmd-joint", "data", "--task", TASK, "--output", "x", "--edits", "3"], "--edits"),
        (["dpmd-joint", "data", "--task", TASK, "--output", "x", "--refresh", "0"], "--refresh"),
        (["dpmd-joint", "data", "--task", TASK, "--output", "x", "--cost", "gap="], "weight"),
        (["--resume", "--output", "x"], "config.json cannot be read"),
    ],
)
def test_mistakes_are_named(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_the_help_teaches_and_imports_nothing_heavy(capsys):
    assert train("--help") == 0
    text = capsys.readouterr().out
    assert all(method in text for method in (*METHODS, "cg-joint", "cg-product"))
    assert train("expo-joint", "--task", TASK, "--help") == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--edit-scale", "--keep-every", "--starts", "--cost"))
    code = (
        "import sys; from codi_baselines.train.command import main\n"
        "assert main(['dpmd-joint', '--help']) == 0\n"
        "assert not {'torch', 'numpy', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
