"""The task through the plugin host and the command line, with a tiny untrained policy."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from codi_baselines.on_task.entries import replan_schedule
from codi_core import experiments
from codi_core.cli.run import main as run
from codi_core.errors import CheckpointError
from codi_core.experiments import prepare
from codi_core.host.assembly import available_costs, make_task
from codi_core.host.plugins import Host, load_plugins
from codi_core.policies import ActionSpec, DiffusionPolicy, PolicySpec, ProductPolicy
from codi_core.resources import Resources
from codi_core.samplers import KarrasSchedule
from codi_core.tasks import EpisodeKey, PlanSettings
from codi_core.training.checkpoint import save_checkpoint
from codi_franka.action import ACTION_SPEC
from codi_franka.handoff.costs import TABLE_I, CollisionCost
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.observation import SHAPES, observe
from codi_franka.plugin import TASK
from codi_franka.policies import offers
from codi_franka.prediction.physics import PhysicsPredictor
from codi_franka.robot.cell import ARMS
from codi_franka.state import tensors
from codi_franka.task import (
    COSTS,
    PHYSICS_IN_THE_LOOP,
    WARM_START,
    HandoffTask,
)
from franka.installed import install_franka
from franka.scenes import random_chunks, random_states

SPEC = PolicySpec(ACTION_SPEC, SHAPES)
METRICS = {
    "task", "method", "episodes", "success_rate", "success_interval_95", "completion_time_s",
    "replan_latency_s", "late_replans", "rollouts_per_replan", "predictor", "seed", "warnings",
    "errors", "task_metrics", "costs", "diagnostics",
}  # fmt: skip
TASK_METRICS = {
    "min_goal_distance_m": {"median", "p95"},
    "left_only_success_rate": None,
    "left_only_episodes": None,
    "settled_rate": None,
    "arm_contact_rate": None,
    "min_hand_distance_m": {"median", "p5"},
    "failed_rate": None,
    "collisions_per_episode": None,
    "simultaneous_approaches_per_episode": None,
    "guard_interventions_per_episode": None,
    "guard_seconds": None,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learned nothing."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("policy") / "tiny.safetensors"
    save_checkpoint(DiffusionPolicy.build(SPEC, "mlp", width=16, depth=1), path)
    return path


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    install_franka(tmp_path / "site", monkeypatch)
    monkeypatch.chdir(tmp_path)
    return load_plugins(strict=True)


# -- registration -------------------------------------------------------------------------------


def test_the_plugin_registers_the_task_its_costs_and_its_simulator(host: Host) -> None:
    (plugin,) = [p for p in host.plugins if p.name == "franka"]
    assert plugin.distribution == "codi-franka"
    assert plugin.error is None
    assert plugin.registered["tasks"] == (TASK,)
    assert plugin.registered["simulators"] == ("mujoco", "mujoco-warp", "isaacgym")
    assert isinstance(make_task(host, TASK), HandoffTask)


def test_the_terms_of_the_cost_can_be_chosen_by_name_with_options(host: Host) -> None:
    valid = available_costs(host, TASK, make_task(host, TASK))
    for name, kind in COSTS.items():
        assert isinstance(valid[name](), kind)
    soft = valid["handoff-collision"](radius=0.2, kind="indicator")
    assert soft == CollisionCost(radius=0.2, kind="indicator")


def test_the_registered_simulator_can_be_made(host: Host) -> None:
    record = host.simulators.get("mujoco")
    assert record.tasks == (TASK,)
    simulator = record.factory(Resources(threads=1), timestep=0.005)(("left",), 2)
    assert (simulator.copies, simulator.substeps, simulator.device) == (2, 20, "cpu")


# -- parts --------------------------------------------------------------------------------------


def test_the_parts_of_the_task() -> None:
    options = HandoffOptions(goal=(0.3, 0.1))
    parts = HandoffTask().parts(options)
    assert (parts.agents, parts.rate_hz, parts.max_seconds) == (("left", "right"), 10.0, 60.0)
    assert list(parts.predictors) == ["kinematic", "mujoco", "physics"]
    assert dict(parts.default_costs) == TABLE_I
    assert parts.settings == PlanSettings(
        64, 0.002, 16, 40.0, 0.05, 5.0, 4, sampler=WARM_START, method="search"
    )
    assert parts.settings_for == {"mujoco": PHYSICS_IN_THE_LOOP, "physics": PHYSICS_IN_THE_LOOP}
    assert set(parts.default_costs) <= set(COSTS)
    environment = parts.environment(Resources())
    assert isinstance(environment, FrankaEnvironment)
    assert environment.options is options
    physics = parts.predictors["mujoco"](Resources(threads=3))
    assert isinstance(physics, PhysicsPredictor)
    assert physics.make_rollouts(ARMS, 3).simulator.batch.nthread == 3


def test_the_parts_make_the_same_in_another_process() -> None:
    """What parts make after they were sent there acts as what they make here."""
    parts = HandoffTask().parts(HandoffOptions(goal=(0.3, 0.1)))
    sent = pickle.loads(pickle.dumps(parts))
    keys, chunks = [EpisodeKey(0, 0)], random_chunks(1, 2, 4)
    here, there = (each.environment(Resources()).reset(keys) for each in (parts, sent))
    torch.testing.assert_close(here.state.goal, there.state.goal)
    torch.testing.assert_close(here.state.cube_position, there.state.cube_position)
    for name in parts.predictors:
        one, other = (
            each.predictors[name](Resources()).predict(here.state, chunks).trajectory
            for each in (parts, sent)
        )
        assert torch.equal(one.hand_position, other.hand_position)
    committed = tuple(chunk[:, 0] for chunk in chunks)
    one, other = (each.advance(here.state, committed)[0] for each in (parts, sent))
    assert torch.equal(one.joint_position, other.joint_position)


def test_a_predictors_assumptions_are_its_options() -> None:
    predictor = (
        HandoffTask().parts(HandoffOptions()).predictors["kinematic"](Resources(), reach=0.7)
    )
    assert predictor.settings.reach == 0.7


def test_physics_in_the_loop_takes_an_eighth_of_the_rollouts() -> None:
    """128 of the 1 024 that plans from pure noise take; the schedule's steps are those of warm
    starts."""
    settings = PHYSICS_IN_THE_LOOP
    schedule = KarrasSchedule(settings.steps, settings.sigma_max, settings.sigma_min, settings.rho)
    steps = replan_schedule(settings.sampler, schedule).steps
    assert settings.samples * steps <= 1024 / 8


def test_advance_foresees_the_state_and_what_it_looks_like() -> None:
    advance = HandoffTask().parts(HandoffOptions()).advance
    assert advance is not None
    start, chunks = random_states(2), (torch.zeros(2, 2, 7), torch.zeros(2, 2, 7))
    later, observation = advance(start, chunks)
    torch.testing.assert_close(later.goal, start.goal)
    expected = observe(later, ("left", "right"))
    assert all(torch.equal(observation[name], expected[name]) for name in expected)
    assert any(not torch.equal(a, b) for (_, a), (_, b) in zip(
        tensors(later), tensors(start), strict=True
    ))  # fmt: skip


def policies(checkpoint: Path | None = None) -> ProductPolicy:
    """The product of the arms' policies, from a checkpoint or from the shipped one."""
    return experiments.prepare("franka-handoff", checkpoint=checkpoint).product()


def test_both_arms_share_one_policy(checkpoint: Path) -> None:
    factors = policies(checkpoint).factors
    assert [factor.agents for factor in factors] == [(0,), (1,)]
    assert factors[0].policy is factors[1].policy
    product = ProductPolicy(factors)
    assert product.size == 2 * 16 * 7
    seen = observe(random_states(3), ("left", "right"))
    observation = {name: value.unsqueeze(1) for name, value in seen.items()}
    denoised = product.denoiser(observation)(torch.randn(3, 224), torch.tensor(1.0))
    assert denoised.shape == (3, 224)
    assert denoised.isfinite().all()


def test_a_policy_for_another_robot_is_refused_by_the_field_that_differs(tmp_path: Path) -> None:
    other = PolicySpec(ActionSpec(names=ACTION_SPEC.names, horizon=8, rate_hz=10.0), SHAPES)
    save_checkpoint(
        DiffusionPolicy.build(other, "mlp", width=16, depth=1), tmp_path / "x.safetensors"
    )
    with pytest.raises(CheckpointError, match=r"horizon is 8 .* needs 16"):
        policies(tmp_path / "x.safetensors")


@pytest.mark.parametrize("offer", ["single-agent", "joint", "single-agent-200", "joint-200"])
def test_the_shipped_checkpoints_load(offer: str) -> None:
    product = prepare(TASK, policy=offer).product()
    assert product.sigma_range[0] <= 0.05
    assert product.sigma_range[1] >= 40.0
    assert product.size == 2 * 7 * 16
    for path in offers()[offer].checkpoints.values():
        assert path.stat().st_size < 20e6


# -- codi-run -----------------------------------------------------------------------------------

FAST = ["--task", TASK, "--episodes", "2", "--max-seconds", "4", "--no-video", "--seed", "1",
        "--steps", "4", "--samples", "8", "--physics-threads", "1"]  # fmt: skip


def metrics(folder: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, "metrics.json").read_text())
    return content


@pytest.mark.usefixtures("host")
def test_codi_run_from_end_to_end(checkpoint: Path) -> None:
    assert run([*FAST, "--checkpoint", str(checkpoint), "--output", "out"]) == 0
    found = metrics("out")
    assert set(found) == METRICS
    assert (found["task"], found["method"], found["predictor"]) == (TASK, "search", "kinematic")
    assert (found["episodes"], found["seed"]) == (2, 1)
    assert set(found["costs"]) == {"handoff-goal", "handoff-collision", "handoff-engagement"}
    # Of 24 candidates and the last plan, in rows and for two arms; 4 guided steps; the choice.
    assert found["rollouts_per_replan"] == 25 + 2 * 25 + 4 * 8 + 2**2
    assert set(found["completion_time_s"]) == {"mean", "median"}
    assert set(found["replan_latency_s"]) == {"median", "p95"}
    assert found["replan_latency_s"]["p95"] > 0
    low, high = found["success_interval_95"]
    assert 0.0 <= low <= found["success_rate"] <= high <= 1.0
    assert found["warnings"] == {
        "nan_costs": 0,
        "unguided_steps": 0,
        "failed_predictions": 0,
        "lost_gradients": 0,
        "shortened_plans": 0,
    }
    task = found["task_metrics"]
    assert set(task) == set(TASK_METRICS)
    for name, inner in TASK_METRICS.items():
        assert inner is None or set(task[name]) == inner
    assert 0.0 < task["min_goal_distance_m"]["median"] < 1.5
    configuration = json.loads(Path("out/config.json").read_text())["configuration"]
    assert configuration["cost"] == [f"{name}={weight!r}" for name, weight in TABLE_I.items()]
    lines = [json.loads(line) for line in Path("out/episodes.jsonl").read_text().splitlines()]
    assert [line["episode"] for line in lines] == [0, 1]
    assert Path("out/report.png").stat().st_size > 5000
    assert not Path("out/video.mp4").exists()


@pytest.mark.usefixtures("host")
def test_the_other_predictor_a_late_plan_and_the_tasks_options(checkpoint: Path) -> None:
    arguments = [*FAST, "--checkpoint", str(checkpoint), "--output", "out", "--no-report",
                 "--max-seconds", "1.5", "--predictor", "mujoco", "--latency", "0.1",
                 "--goal", "-0.2", "0.1", "--start", "-0.3", "0.1", "0.4", "--no-randomize",
                 "--cost", "handoff-goal=2:threshold=0.05"]  # fmt: skip
    assert run(arguments) == 0
    found = metrics("out")
    assert found["predictor"] == "mujoco"
    assert found["success_rate"] == 1.0  # it starts 10 cm from the goal
    assert found["completion_time_s"]["mean"] == 0.0
    assert found["task_metrics"]["min_goal_distance_m"]["median"] == pytest.approx(0.1, abs=0.01)
    stored = json.loads(Path("out/config.json").read_text())["configuration"]
    assert stored["task_options"] == {
        "goal": [-0.2, 0.1], "start": [-0.3, 0.1, 0.4], "randomize": False, "guard": True,
        "box": None,
    }  # fmt: skip


@pytest.mark.usefixtures("host")
def test_the_same_seed_gives_the_same_episodes(checkpoint: Path) -> None:
    for output in ("a", "b"):
        fast = [*FAST, "--max-seconds", "1", "--no-report"]
        assert run([*fast, "--checkpoint", str(checkpoint), "--output", output]) == 0
    assert Path("a/episodes.jsonl").read_bytes() == Path("b/episodes.jsonl").read_bytes()


@pytest.mark.usefixtures("host")
def test_a_misspelt_task_names_the_near_miss(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--task", "franka-handof"]) == 2
    assert "franka-handoff" in capsys.readouterr().err


def test_the_preset_of_the_paper_is_codi_as_printed() -> None:
    config = experiments.prepare("franka-handoff", preset="paper").config
    assert (config.posterior, config.guidance, config.sampler) == (
        "isotropic",
        "monte-carlo",
        "ancestral",
    )
    assert config.cost == tuple(f"{name}={weight!r}" for name, weight in TABLE_I.items())
    assert (config.samples, config.steps, config.predictor) == (64, 16, "kinematic")


@pytest.mark.parametrize(
    ("preset", "rollouts"), [("paper", 16 * 64), ("fast", 16 * 32), ("physics", 126)]
)
def test_the_first_plan_of_each_preset(preset: str, rollouts: int) -> None:
    """With CoDi it takes all steps; later ones are warm starts in a few of them.

    A search of 128 rollouts has 30 rows, as many for each of two arms, 32 of a step, and 4 at the
    end.
    """
    planned = experiments.plan("franka-handoff", preset=preset, unguided=1)
    assert planned.plan.diagnostics.counts["rollouts"] == rollouts


def test_the_preset_for_physics_feels_its_latency() -> None:
    config = experiments.prepare("franka-handoff", preset="physics").config
    assert (config.predictor, config.latency, config.execute) == ("mujoco", 0.2, 2)
    assert (config.method, config.samples) == ("search:rollouts=128", 32)
    guided = experiments.prepare("franka-handoff", preset="physics", method="codi").config
    assert (guided.samples, guided.posterior, guided.sampler) == (
        24, "correlated", "warm-start:sigma_warm=5.0,steps=4,cold=0.1"
    )  # fmt: skip
