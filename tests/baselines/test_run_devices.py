"""Runs whose plans are made on a device other than the CPU, by methods of all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from codi_baselines.cost_model.checkpoint import save_cost_model
from codi_baselines.cost_model.network import CostModel
from codi_baselines.finetuning.residual import frozen_base, residual_policy, save_residual
from codi_baselines.purpose import Purpose
from codi_core import experiments
from codi_core.experiments import Experiment
from codi_core.policies import Normaliser
from codi_core.testing import check_device, second_device

SHORT = {
    "episodes": 2,
    "max_seconds": 0.4,
    "samples": 3,
    "steps": 2,
    "sampler": "warm-start:steps=2",
    "execute": 2,
}
HANDOVERS = [
    {"method": "codi"},
    {"method": "codi-joint"},
    {"method": "codi-indep"},
    {"method": "base"},
    {"method": "best-of"},
    {"method": "resampling", "latency": 0.1},
    {"guidance": "hybrid"},
]


@pytest.mark.parametrize("options", HANDOVERS, ids=str)
def test_handovers_are_run_there(options: dict[str, Any], tmp_path: Path) -> None:
    run(tmp_path, "franka-handoff", None, {"physics_threads": 1, **options})


@pytest.mark.parametrize("guidance", ["factored", "library"])
def test_teams_are_run_there(guidance: str, tmp_path: Path) -> None:
    run(tmp_path, "navigation-swap", {"agents": 3}, {"guidance": guidance})


def run(
    folder: Path, task: str, task_options: dict[str, Any] | None, options: dict[str, Any]
) -> None:
    """Check that no episode of a short run breaks."""
    with second_device() as device:
        made = experiments.run(
            task,
            output=folder / "run",
            progress=False,
            task_options=task_options,
            device=str(device),
            **{**SHORT, **options},
        )
        assert [record.get("error") for record in made.episodes] == [None, None]
        assert made.metrics["episodes"] == 2


@pytest.mark.parametrize("method", ["cg-joint", "dpmd-joint"])
def test_trained_methods_plan_there(method: str, tmp_path: Path) -> None:
    options = {"policy": "joint", "temperature": 0.01, "steps": 2, "sampler": "ancestral"}
    path = tmp_path / "trained.safetensors"
    untrained(method, path, experiments.prepare("franka-handoff", **options))
    # Another device draws the same noise, as it is the CPU with another name.
    chosen = {**options, "method": f"{method}:checkpoint={path}", "unguided": 2}

    def planned(device: str) -> torch.Tensor:
        return experiments.plan("franka-handoff", device=device, **chosen).plan.flat

    check_device(planned)


def untrained(method: str, path: Path, experiment: Experiment) -> None:
    """Write a checkpoint of a model that has learnt nothing."""
    product, planned_for = experiment.product(), experiment.planned_for()
    temperature = experiment.config.temperature if method == "dpmd-joint" else None
    known = {**Purpose.of(method, planned_for, temperature).metadata(), "rollouts": 0}
    torch.manual_seed(0)
    if method == "dpmd-joint":
        policy = residual_policy(frozen_base(product))
        with torch.no_grad():
            for parameter in policy.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.02 * torch.randn(parameter.shape))
        save_residual(policy, path, known)
    else:
        sizes = experiment.product().factors[0].policy.spec.observation.values()
        seen = Normaliser.identity(sum(torch.Size(shape).numel() for shape in sizes))
        model = CostModel.build(product.layout, seen, width=16, depth=1)
        save_cost_model(model, path, {**known, "target": "expected-cost"})
