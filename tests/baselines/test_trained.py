"""Checkpoints of trained methods are refused for what they were not trained for."""

import attrs
import pytest
import torch

from codi_baselines.methods import trained
from codi_baselines.methods.trained import find_trained
from codi_baselines.purpose import Purpose
from codi_core.errors import CheckpointError, SpecificationError
from codi_core.training.checkpoint import checkpoint_digest, write_tensors


@attrs.frozen
class Planned:
    """What a planner is made for, as the host says it."""

    checkpoints: dict
    task: str = "handoff"
    task_options: dict = attrs.field(
        factory=lambda: {"goal": (0.45, 0.0), "goal_height": 0.1, "guard": True}
    )
    cost: tuple = ("near=1.0", "apart=10.0:radius=0.3")
    predictor: str = "kinematic"


@attrs.frozen
class Parts:
    planned_for: Planned | None
    temperature: float = 0.002


@pytest.fixture
def base(tmp_path):
    return write(tmp_path / "base.safetensors", {})


@pytest.fixture
def parts(base):
    return Parts(Planned({"joint": base}))


def write(path, metadata, value=0.0):
    write_tensors(path, {"value": torch.tensor([value])}, metadata)
    return path


def trained_for(parts, path, temperature=0.002, method="tilted"):
    purpose = Purpose.of(method, parts.planned_for, temperature)
    return write(path, purpose.metadata())


def planned(parts, **changes):
    return attrs.evolve(parts, planned_for=attrs.evolve(parts.planned_for, **changes))


def test_a_checkpoint_serves_what_it_was_trained_for(parts, base, tmp_path):
    path = trained_for(parts, tmp_path / "tilted.safetensors")
    assert find_trained(parts, "tilted", path) == path
    assert find_trained(parts, "tilted", str(path)) == path
    assert Purpose.read(path).bases == {"joint": checkpoint_digest(base)}
    # Neither the environment's own options, nor the order of the terms, nor who foresees matter.
    other = planned(
        parts,
        task_options={"goal": [0.45, 0.0], "goal_height": 0.1, "guard": False},
        cost=parts.planned_for.cost[::-1],
        predictor="mujoco",
    )
    assert find_trained(other, "tilted", path) == path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "swap"}, "the task handoff, this run has swap"),
        (
            {"task_options": {"goal": (0.4, 0.0), "goal_height": 0.1}},
            r"the option 'goal' 0\.45, 0\.0, this run has 0\.4, 0\.0",
        ),
        ({"cost": ("near=1.0",)}, "the cost apart, near, this run has near"),
        (
            {"cost": ("near=1.0", "apart=5.0:radius=0.3")},
            r"the weight of 'apart' 10\.0, this run has 5\.0",
        ),
        (
            {"cost": ("near=1.0", "apart=10.0:radius=0.2")},
            r"the options of 'apart' radius 0\.3, this run has radius 0\.2",
        ),
        ({"checkpoints": {"joint": None}}, "the base policies joint .*…, this run has .* no file"),
    ],
)
def test_what_differs_is_named(parts, tmp_path, change, words):
    path = trained_for(parts, tmp_path / "tilted.safetensors")
    with pytest.raises(CheckpointError, match=words) as raised:
        find_trained(planned(parts, **change), "tilted", path)
    assert "codi-train-baseline tilted" in str(raised.value)


def test_another_temperature_is_refused_unless_the_model_does_not_depend_on_it(parts, tmp_path):
    path = trained_for(parts, tmp_path / "tilted.safetensors")
    hotter = attrs.evolve(parts, temperature=0.01)
    with pytest.raises(CheckpointError, match=r"the temperature 0\.002, this run has 0\.01"):
        find_trained(hotter, "tilted", path)
    free = trained_for(parts, tmp_path / "free.safetensors", temperature=None)
    assert find_trained(hotter, "tilted", free) == free


def test_another_base_and_another_method_are_refused(parts, base, tmp_path):
    path = trained_for(parts, tmp_path / "tilted.safetensors")
    with pytest.raises(CheckpointError, match="the method tilted, this run has other"):
        find_trained(parts, "other", path)
    write(base, {}, value=1.0)
    with pytest.raises(CheckpointError, match="the base policies joint"):
        find_trained(parts, "tilted", path)


def test_a_file_without_a_purpose_is_named(parts, base):
    with pytest.raises(CheckpointError, match="does not say what it was trained for"):
        find_trained(parts, "tilted", base)
    with pytest.raises(SpecificationError, match="what is planned for"):
        find_trained(Parts(None), "tilted", base)


def test_the_shipped_checkpoint_on_the_same_base_is_found(parts, tmp_path, monkeypatch):
    shipped = tmp_path / "checkpoints"
    monkeypatch.setattr(trained, "SHIPPED", shipped)
    with pytest.raises(CheckpointError, match="no checkpoint of method 'tilted' is shipped"):
        find_trained(parts, "tilted")
    few = planned(parts, checkpoints={"joint": write(tmp_path / "few.safetensors", {}, 2.0)})
    trained_for(few, shipped / "handoff" / "a-few.safetensors")
    trained_for(parts, shipped / "handoff" / "another.safetensors", method="another")
    with pytest.raises(CheckpointError, match="the base policies"):
        find_trained(parts, "tilted")
    path = trained_for(parts, shipped / "handoff" / "whole.safetensors")
    assert find_trained(parts, "tilted") == path
    with pytest.raises(CheckpointError, match="the temperature"):
        find_trained(attrs.evolve(parts, temperature=1.0), "tilted")
