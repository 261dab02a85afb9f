"""Training a cost model: its data, resuming, and its checkpoint."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import torch

from codi_baselines.cost_model.checkpoint import load_cost_model
from codi_baselines.cost_model.examples import CostExamples, finite_costs
from codi_baselines.cost_model.rollouts import RollingOut, kept
from codi_baselines.cost_model.settings import CostModelSettings
from codi_baselines.cost_model.training import cost_model_parts
from codi_baselines.demonstrations import JointDemonstrations
from codi_core.errors import CheckpointError, UsageError
from codi_core.experiments import plan
from codi_core.training import TrainingSession, read_metadata
from codi_core.training.checkpoint import read_tensors
from tests.baselines.joint_points import (
    TASK,
    install_task,
    joint,
    single,
    write_demonstrations,
    write_policy,
)

LENGTHS = (12, 9, 15)


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_task(tmp_path / "site", monkeypatch)
    # Pictures take longer than all the rest.
    monkeypatch.setattr("codi_core.training.session.draw_curve", lambda points, path: None)


@pytest.fixture
def settings(tmp_path: Path) -> CostModelSettings:
    data = write_demonstrations(tmp_path / "data", LENGTHS)
    policy = write_policy(tmp_path / "joint.safetensors", joint())
    return CostModelSettings(
        dataset=str(data),
        output=str(tmp_path / "run"),
        method="cg-joint",
        task=TASK,
        task_options={},
        policy="joint",
        checkpoint=str(policy),
        predictor="exact",
        cost=("gap=2.0",),
        temperature=0.05,
        width=16,
        depth=1,
        steps=20,
        batch_size=16,
        evaluate_every=10,
        held_out=0.3,
    )


def session(settings: CostModelSettings) -> TrainingSession:
    return TrainingSession(settings, cost_model_parts)


def finished(settings: CostModelSettings) -> Path:
    made = session(settings)
    made.start(["test"])
    assert made.run(lambda progress: None, lambda: False)
    return made.checkpoint


def rolling_out(settings: CostModelSettings) -> RollingOut:
    experiment = settings.experiment()
    data = JointDemonstrations.load(Path(settings.dataset), experiment.opened, experiment.product())
    return RollingOut(data, experiment.predictor(), experiment.cost())


def test_demonstrated_chunks_cost_what_they_lead_to(settings: CostModelSettings) -> None:
    rolling = rolling_out(settings)
    made, data = rolling.demonstrated(), rolling.demonstrations
    assert made.counts == {"rollouts": sum(LENGTHS)}
    # The cost: twice the gap at the end of the horizon, four steps of a tenth of a second later.
    later = data.windows.frames(torch.arange(len(data)))[1]
    travelled = data.features["state"] + data.windows.actions[later].sum(1) / 10
    wanted = 2 * (travelled[:, 0] - travelled[:, 1]).abs()
    assert torch.allclose(made.costs[:, 0], wanted, atol=1e-5)
    seen = rolling.observed(made.states)
    assert torch.allclose(seen, data.features["observation.offsets"], atol=1e-6)


def test_samples_of_the_base_policies_are_rolled_out_as_they_are_kept(
    settings: CostModelSettings,
) -> None:
    settings = attrs.evolve(settings, samples_from="policy", states=10, samples=3, sampling_steps=2)
    parts = cost_model_parts(settings)
    assert parts.data["counts"] == {"rollouts": 30}
    batch = parts.source.sample(torch.Generator().manual_seed(0), 5)
    assert batch.chunks.shape == (5, 3, 8)
    # Half precision holds exactly what was rolled out.
    assert torch.equal(batch.chunks, batch.chunks.half().float())
    rolling = rolling_out(settings)
    home = torch.tensor([[-1.0, 1.0]])
    state = batch.conditioning + home
    moved = torch.cat(rolling.demonstrations.product.decode(batch.chunks), -1).sum(2) / 10
    gap = (state.unsqueeze(1) + moved).diff(dim=-1).squeeze(-1).abs()
    assert torch.allclose(batch.costs, 2 * gap, atol=1e-4)


def test_states_of_held_out_episodes_are_not_trained_on(settings: CostModelSettings) -> None:
    parts = cost_model_parts(settings)
    trained, held_out = parts.source, parts.held_out
    assert isinstance(trained, CostExamples)
    assert isinstance(held_out, CostExamples)
    together = torch.cat([trained.states, held_out.states])
    assert torch.equal(together.sort().values, torch.arange(sum(LENGTHS)))
    assert len(held_out) in LENGTHS
    assert parts.data["held_out_states"] == len(held_out)
    assert cost_model_parts(attrs.evolve(settings, held_out=0.0)).held_out is None


def test_what_can_not_be_foreseen_costs_as_much_as_the_worst() -> None:
    nan, inf = torch.nan, torch.inf
    costs, known = finite_costs(torch.tensor([[1.0, inf], [nan, 2.0], [7.0, 3.0], [0.0, -inf]]))
    assert known.tolist() == [0, 2]
    assert costs[known].tolist() == [[1.0, 7.0], [7.0, 3.0]]


@pytest.mark.parametrize(
    ("target", "samples_from"), [("expected-cost", "demonstrations"), ("log-mean-exp", "policy")]
)
def test_a_resumed_training_ends_with_the_same_bits(
    settings: CostModelSettings, tmp_path: Path, target: str, samples_from: str
) -> None:
    settings = attrs.evolve(settings, target=target, samples_from=samples_from, states=20)
    whole = read_tensors(finished(settings))
    parted = attrs.evolve(settings, output=str(tmp_path / "parted"))
    first = session(parted)
    first.start(["test"])
    steps = iter(range(7))
    assert not first.run(lambda progress: None, lambda: next(steps, None) is None)
    second = session(parted)
    second.resume()
    assert second.run(lambda progress: None, lambda: False)
    resumed = read_tensors(second.checkpoint)
    assert set(resumed) == set(whole)
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


def test_rollouts_are_made_once(settings: CostModelSettings, tmp_path: Path) -> None:
    rolling, path = rolling_out(settings), tmp_path / "rollouts.safetensors"
    calls = []

    def roll_out():
        calls.append(1)
        return rolling.demonstrated()

    first = kept(path, {"weights": (1.0, 2.0)}, roll_out)
    again = kept(path, {"weights": (1.0, 2.0)}, roll_out)
    assert len(calls) == 1
    assert torch.equal(first.costs, again.costs)
    assert (first.counts, first.seconds) == (again.counts, again.seconds)
    kept(path, {"weights": (1.0, 3.0)}, roll_out)
    path.write_bytes(path.read_bytes()[:100])
    kept(path, {"weights": (1.0, 3.0)}, roll_out)
    assert len(calls) == 3


def test_a_cost_model_guides_what_it_was_trained_for(
    settings: CostModelSettings, tmp_path: Path
) -> None:
    path = finished(settings)
    known = read_metadata(path)
    assert known["method"] == "cg-joint"
    assert known["cost"] == ["gap=2.0"]
    assert known["temperature"] is None
    assert known["rollouts"] == sum(LENGTHS)
    options = {"policy": "joint", "checkpoint": settings.checkpoint, "cost": "gap=2.0"}
    run = {**options, "task": TASK, "unguided": 4, "steps": 4}
    apart = plan(method="base", **run).plan.flat
    unscaled = plan(method=f"cg-joint:checkpoint={path},scale=0", **run).plan.flat
    guided = plan(method=f"cg-joint:checkpoint={path}", **run).plan.flat
    assert torch.equal(unscaled, apart)
    assert float((guided - apart).abs().max()) > 1e-4
    with pytest.raises(CheckpointError, match=r"the weight of 'gap' 2\.0, this run has 1\.0"):
        plan(method=f"cg-joint:checkpoint={path}", **{**run, "cost": "gap=1.0"})


def test_a_log_mean_exp_model_depends_on_its_temperature(settings: CostModelSettings) -> None:
    path = finished(attrs.evolve(settings, target="log-mean-exp"))
    assert read_metadata(path)["temperature"] == 0.05
    run = {
        "task": TASK,
        "method": f"cg-joint:checkpoint={path}",
        "checkpoint": settings.checkpoint,
        "cost": "gap=2.0",
        "unguided": 1,
    }
    plan(temperature=0.05, **run)
    with pytest.raises(CheckpointError, match=r"the temperature 0\.05, this run has 0\.02"):
        plan(temperature=0.02, **run)


def test_a_product_of_single_agent_policies_is_guided_as_well(
    settings: CostModelSettings, tmp_path: Path
) -> None:
    policy = write_policy(tmp_path / "point.safetensors", single())
    settings = attrs.evolve(
        settings,
        method="cg-product",
        policy="single",
        checkpoint=str(policy),
        samples_from="policy",
        states=12,
    )
    path = finished(settings)
    guided = plan(
        task=TASK,
        method=f"cg-product:checkpoint={path}",
        checkpoint=policy,
        cost="gap=2.0",
        unguided=4,
    )
    assert guided.plan.flat.shape == (1, 8)
    with pytest.raises(CheckpointError, match="no cost model for these base policies"):
        load_cost_model(policy, guided.experiment.product())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": "mean"}, "--target: must be one of expected-cost, log-mean-exp"),
        ({"samples_from": "air"}, "--samples-from: must be one of demonstrations, policy"),
        ({"states": 0}, "--states: must be a whole number of at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(
    settings: CostModelSettings, change: dict, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        attrs.evolve(settings, **change)
