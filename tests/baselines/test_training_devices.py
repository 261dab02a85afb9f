"""Baselines are trained, and resumed, on a device other than the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from codi_baselines.cost_model.settings import CostModelSettings
from codi_baselines.cost_model.training import cost_model_parts
from codi_baselines.finetuning.settings import (
    EditAndDistilSettings,
    FineTuningSettings,
    MirrorDescentSettings,
    SoftActorCriticSettings,
)
from codi_baselines.finetuning.training import fine_tuning_parts
from tests.baselines.joint_points import (
    TASK,
    install_task,
    joint,
    single,
    write_demonstrations,
    write_policy,
)
from tests.core.trained_there import check_trained_alike

TRAINING = {
    "task": TASK,
    "task_options": {},
    "predictor": "exact",
    "cost": ("gap=2.0",),
    "temperature": 0.05,
    "output": "",
    "steps": 4,
    "batch_size": 512,
    "evaluate_every": 2,
    "sampling_steps": 2,
}
COST_MODELS = {
    "demonstrated": {"method": "cg-joint", "samples_from": "demonstrations"},
    "sampled": {"method": "cg-joint", "samples_from": "policy", "target": "log-mean-exp"},
    "product": {"method": "cg-product", "samples_from": "policy"},
}
FINE_TUNED = {
    "dpmd-joint": (MirrorDescentSettings, {"samples": 3, "normalise": None}),
    "sdac-joint": (SoftActorCriticSettings, {"samples": 2, "kept": 2, "reverse_samples": 3}),
    "expo-joint": (EditAndDistilSettings, {"samples": 2, "edits": 2}),
}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_task(tmp_path / "site", monkeypatch)
    monkeypatch.setattr("codi_core.training.session.draw_curve", lambda points, path: None)


@pytest.mark.parametrize("kind", COST_MODELS)
def test_cost_models_are_trained_there(kind: str, tmp_path: Path) -> None:
    own = COST_MODELS[kind]
    policy, offer = ("joint", joint()) if own["method"] == "cg-joint" else ("single", single())
    settings = CostModelSettings(
        dataset=str(write_demonstrations(tmp_path / "data")),
        checkpoint=str(write_policy(tmp_path / "policy.safetensors", offer)),
        policy=policy,
        states=10,
        samples=3,
        width=16,
        depth=1,
        held_out=0.3,
        **own,
        **TRAINING,
    )
    check_trained_alike(settings, cost_model_parts, tmp_path)


@pytest.mark.parametrize("method", FINE_TUNED)
def test_policies_are_fine_tuned_there(method: str, tmp_path: Path) -> None:
    kind, own = FINE_TUNED[method]
    settings: FineTuningSettings = kind(
        dataset=str(write_demonstrations(tmp_path / "data")),
        checkpoint=str(write_policy(tmp_path / "joint.safetensors", joint())),
        policy="joint",
        method=method,
        refresh=3,
        states=4,
        measured_states=2,
        **own,
        **TRAINING,
    )
    check_trained_alike(settings, fine_tuning_parts, tmp_path)
