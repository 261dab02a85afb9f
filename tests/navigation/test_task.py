import json
import pickle

import numpy as np
import pytest
import torch

from codi_core import experiments
from codi_core.cli.run import main
from codi_core.errors import CheckpointError
from codi_core.host.plugins import load_plugins
from codi_core.planning import NoiseSource, PlanContext
from codi_core.policies import Normaliser, PolicySpec
from codi_core.policies.diffusion import DiffusionPolicy
from codi_core.resources import Resources
from codi_core.tasks import EpisodeKey
from codi_core.testing import check_task
from codi_core.training.checkpoint import save_checkpoint
from codi_navigation.action import action_spec
from codi_navigation.observation import SHAPES
from codi_navigation.task import COSTS, CorridorTask, SwapTask, WarehouseTask
from codi_navigation.vehicles import VEHICLES


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Untrained policies of both kinds."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    for kind in VEHICLES:
        spec = PolicySpec(action_spec(kind), SHAPES)
        policy = DiffusionPolicy.build(
            spec, "mlp", Normaliser(torch.zeros(2), torch.full((2,), 0.4)), width=32, depth=1
        )
        save_checkpoint(policy, folder / f"{kind}.safetensors")
    return folder


def factors_of(vehicle, agents, checkpoint=None):
    options = {"vehicle": vehicle, "agents": agents}
    experiment = experiments.prepare("navigation-swap", options, checkpoint=checkpoint)
    return experiment.product().factors


@pytest.mark.parametrize("vehicle", ["holonomic", "unicycle", "mixed"])
@pytest.mark.parametrize("task", [SwapTask, CorridorTask, WarehouseTask])
def test_the_parts_of_each_task_fit_together(task, vehicle, checkpoints):
    options = task.Options(agents=4, vehicle=vehicle)
    factors = factors_of(vehicle, 4, checkpoints)
    check_task(task(), options, factors)


def test_robots_of_a_kind_share_a_policy(checkpoints):
    factors = factors_of("mixed", 5, checkpoints)
    assert len({id(factor.policy) for factor in factors}) == 2
    assert factors[0].policy is factors[2].policy is factors[4].policy
    assert factors[1].policy is factors[3].policy


def test_one_file_does_not_serve_both_kinds(checkpoints):
    with pytest.raises(CheckpointError, match="has several kinds of agents: give a folder with"):
        factors_of("mixed", 2, checkpoints / "holonomic.safetensors")


def test_a_policy_of_the_other_kind_is_refused(checkpoints):
    with pytest.raises(CheckpointError, match="velocity_x"):
        factors_of("holonomic", 2, checkpoints / "unicycle.safetensors")


def test_advance_foresees_what_the_environment_does(checkpoints):
    options = SwapTask.Options(agents=3, vehicle="mixed")
    parts = SwapTask().parts(options)
    environment = parts.environment(Resources())
    first = environment.reset([EpisodeKey(0, 0)])
    chunks = tuple(0.4 * torch.randn(1, 3, 2) for _ in range(3))
    for step in range(3):
        last = environment.step(tuple(chunk[:, step] for chunk in chunks))
    assert parts.advance is not None
    state, observation = parts.advance(first.state, chunks)
    assert torch.equal(state.position, last.state.position)
    assert all(torch.equal(observation[name], last.observation[name]) for name in observation)


def test_the_time_limit_is_that_of_the_longest_path():
    # Antipodes of 8 robots, 0.45 m apart, are 1.176 m apart: 2.5 times 1.676 s.
    parts = SwapTask().parts(SwapTask.Options(agents=8))
    assert parts.max_seconds == pytest.approx(4.19, abs=0.01)
    assert parts.default_costs.keys() <= COSTS.keys()
    # Unicycles may have to turn round first, in 1.297 s.
    mixed = SwapTask().parts(SwapTask.Options(agents=8, vehicle="mixed"))
    assert mixed.max_seconds == pytest.approx(parts.max_seconds + 2.5 * 1.297, abs=0.01)


@pytest.mark.parametrize("vehicle", ["holonomic", "unicycle", "mixed"])
def test_a_policy_of_each_kind_is_shipped(vehicle):
    factors = factors_of(vehicle, 4)
    for factor in factors:
        assert factor.policy.spec.action.horizon == 16


def test_each_task_has_the_terms_that_its_maps_need():
    def terms(task):
        return set(task.parts(task.Options(agents=4)).default_costs)

    shared = {"navigation-goal", "navigation-separation"}
    assert terms(SwapTask()) == {*shared, "navigation-roundabout", "navigation-detour"}
    assert terms(CorridorTask()) == {*shared, "navigation-obstacles", "navigation-junction"}
    assert terms(WarehouseTask()) == {*shared, "navigation-obstacles", "navigation-imminent"}


def test_in_a_crowd_what_is_imminent_counts_apart():
    small, large = (SwapTask().parts(SwapTask.Options(agents=n)) for n in (63, 64))
    assert set(large.default_costs) - set(small.default_costs) == {"navigation-imminent"}
    # Between shelves there is always a crowd, and who is pushed aside meets a shelf.
    few, many = (WarehouseTask().parts(WarehouseTask.Options(agents=n, size=20.0)) for n in (4, 64))
    assert few.default_costs == many.default_costs
    costs = few.default_costs
    assert costs["navigation-obstacles"] == 3 * costs["navigation-separation"]


def test_a_teams_planner_can_be_sent_to_another_process():
    experiment = experiments.prepare("navigation-corridor", {"vehicle": "mixed"}, samples=8)
    planner = experiment.planner()
    step = experiment.environment().reset([EpisodeKey(0, 0)])
    observation = {name: value.unsqueeze(1) for name, value in step.observation.items()}

    def planned(by):
        context = PlanContext(NoiseSource([(0, 0, 0)]), observation, by.layout, step.state)
        return by.plan(context).flat

    expected = planned(planner)
    assert torch.equal(planned(pickle.loads(pickle.dumps(planner))), expected)
    advance = pickle.loads(pickle.dumps(experiment.opened.parts.advance))
    still = (torch.zeros(1, 2, 2),) * 4
    assert torch.equal(advance(step.state, still)[0].position, step.state.position)


@pytest.mark.slow
def test_shipped_policies_swap_places_with_guidance_and_not_without(tmp_path):
    """Eight robots, eight episodes: all succeed, and none without guidance or apart."""
    shared = ["--task", "navigation-swap", "--agents", "8", "--episodes", "8", "--seed", "3"]
    shared += ["--no-report", "--no-video"]
    variants = {
        "guided": ([], 1.0, 0.0),
        "base": (["--method", "base"], 0.0, 1.0),
        "apart": (["--cost", "navigation-goal"], 0.0, 1.0),
    }
    for name, (more, success, contact) in variants.items():
        assert main([*shared, *more, "--output", str(tmp_path / name)]) == 0
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        assert metrics["success_rate"] == success
        assert metrics["task_metrics"]["robot_contact_rate"] == contact
        if name == "guided":
            # It ends with its success, long before the time limit.
            assert metrics["completion_time_s"]["mean"] < 3.5


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="other libraries add otherwise")
@pytest.mark.parametrize("vehicle", ["holonomic", "mixed"])
def test_an_episode_is_the_same_alone_and_in_a_batch(vehicle):
    experiment = experiments.prepare(
        "navigation-corridor", {"agents": 4, "vehicle": vehicle}, seed=2, episodes=8, max_seconds=3
    )
    with experiment.wave_runner() as runner:
        alone, beside = (runner.run(range(*ends), frozenset([3])) for ends in ((3, 4), (1, 7)))
    assert alone.records[0] == beside.records[2]
    # What the last plans' actions cost goes on, after an episode's end, with those of the wave.
    whole = len(alone.traces[3]["plan"]) - 16
    assert whole > 3
    for name, values in alone.traces[3].items():
        rows = slice(whole if name.startswith("cost.") else None)
        assert np.array_equal(values[rows], beside.traces[3][name][rows], equal_nan=True), name


def test_the_tasks_are_registered():
    names = load_plugins().tasks.names()
    assert {"navigation-swap", "navigation-corridor", "navigation-warehouse"} <= set(names)


def test_a_run_writes_its_folder(tmp_path, checkpoints):
    folder = tmp_path / "run"
    arguments = ["--task", "navigation-swap", "--agents", "3", "--episodes", "2", "--worlds", "2"]
    arguments += ["--checkpoint", str(checkpoints / "holonomic.safetensors"), "--steps", "4"]
    arguments += ["--samples", "8", "--output", str(folder), "--no-report", "--no-video"]
    assert main(arguments) == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["episodes"] == 2
    assert set(metrics["task_metrics"]) >= {"makespan_s", "flow_time_s", "deadlock_rate"}


@pytest.mark.parametrize("task", ["navigation-swap", "navigation-corridor", "navigation-warehouse"])
def test_teams_search_by_default_and_guide_with_twice_the_samples_of_codi(task):
    def settings(**given):
        config = experiments.prepare(task, **given).config
        return config.method, config.samples, config.posterior, config.guidance, config.execute

    assert settings() == ("search", 128, "correlated", "factored", 1)
    assert settings(method="codi") == ("codi", 64, "correlated", "factored", 1)


def test_the_help_names_what_the_default_method_takes(capsys):
    assert main(["--task", "navigation-swap", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "M, samples a denoising step (default: 128)" in shown


@pytest.mark.parametrize(("preset", "rollouts"), [("paper", 16 * 64), ("fast", 16 * 32)])
def test_plans_of_each_preset_from_pure_noise(preset, rollouts):
    planned = experiments.plan("navigation-swap", preset=preset, unguided=1)
    assert planned.plan.diagnostics.counts["rollouts"] == rollouts


@pytest.mark.parametrize("vehicle", ["holonomic", "unicycle", "mixed"])
def test_a_search_draws_with_the_shipped_students_by_default(vehicle):
    def planned(**method):
        options = {"agents": 3, "vehicle": vehicle}
        found = experiments.plan(
            "navigation-swap", task_options=options, seed=3, unguided=4, samples=8, **method
        )
        return torch.cat(found.plan.chunks)

    with_students = planned()
    assert torch.equal(with_students, planned(method="search:student=shipped"))
    assert not torch.allclose(with_students, planned(method="search:student=none"), atol=1e-3)
