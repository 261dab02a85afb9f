"""Checkpoints: what is kept, and what is said when one does not fit."""

import json
import re

import attrs
import pytest
import safetensors
import torch
from safetensors.torch import save_file

from codi_core.errors import CheckpointError
from codi_core.policies import ActionSpec, DiffusionPolicy, Normaliser, PolicySpec
from codi_core.training import (
    checkpoint_digest,
    find_base,
    load_checkpoint,
    read_metadata,
    save_checkpoint,
)
from codi_core.training.checkpoint import read_tensors, write_tensors

ACTION = ActionSpec(("x [m]", "y [m]"), horizon=8, rate_hz=10.0)
SPEC = PolicySpec(ACTION, {"observation.state": (3,), "cube": (7,)}, history=2)


def policy():
    torch.manual_seed(0)
    others = {
        "observation.state": Normaliser.fit(torch.randn(50, 3)),
        "cube": Normaliser.identity(7),
    }
    return DiffusionPolicy.build(
        SPEC,
        "unet",
        Normaliser.fit(5 + 3 * torch.randn(50, 2)),
        others,
        sigma_data=0.9,
        noise_mean=-1.0,
        widths=(16, 32),
        kernel=3,
    )


@pytest.fixture
def path(tmp_path):
    save_checkpoint(policy(), tmp_path / "policy.safetensors", {"data": {"fingerprint": "abc"}})
    return tmp_path / "policy.safetensors"


def test_a_loaded_policy_is_the_same_policy(path):
    saved, loaded = policy().requires_grad_(False), load_checkpoint(path, SPEC)
    assert loaded.spec == saved.spec
    assert (loaded.sigma_data, loaded.noise_mean, loaded.noise_std) == (0.9, -1.0, 1.2)
    observation = {"observation.state": torch.randn(2, 2, 3), "cube": torch.randn(2, 2, 7)}
    noisy, sigma = torch.randn(2, 16), torch.tensor(0.7)
    assert torch.equal(
        loaded.denoiser(observation)(noisy, sigma), saved.denoiser(observation)(noisy, sigma)
    )
    chunk = torch.randn(2, 8, 2)
    assert torch.equal(loaded.normaliser.encode(chunk), saved.normaliser.encode(chunk))
    assert not loaded.training and not any(value.requires_grad for value in loaded.parameters())


def test_the_file_is_safetensors_with_json(path):
    with safetensors.safe_open(path, "pt") as file:
        metadata = json.loads(file.metadata()["codi"])
        assert "normaliser.mean" in file.keys()  # noqa: SIM118
    assert metadata == read_metadata(path)
    assert metadata["format_version"] == 1
    assert metadata["data"] == {"fingerprint": "abc"}
    assert metadata["action"]["names"] == ["x [m]", "y [m]"]
    assert metadata["observation"] == [["observation.state", [3]], ["cube", [7]]]
    assert metadata["architecture"]["network"] == "unet"
    assert metadata["architecture"]["options"]["widths"] == [16, 32]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"action": attrs.evolve(ACTION, horizon=16)}, "horizon is 8 .* needs 16"),
        ({"action": attrs.evolve(ACTION, rate_hz=20.0)}, r"rate_hz is 10\.0 .* needs 20\.0"),
        ({"action": attrs.evolve(ACTION, offset=1)}, "action offset is 0"),
        ({"action": attrs.evolve(ACTION, names=("x", "y"))}, "action names"),
        ({"observation": {"cube": (7,)}}, "observation names"),
        ({"observation": SPEC.observation | {"cube": (6,)}}, r"'cube' is \(7,\) .* needs \(6,\)"),
        ({"history": 1}, "history is 2 .* needs 1"),
    ],
)
def test_what_does_not_fit_the_task_is_named(path, change, words):
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(path, attrs.evolve(SPEC, **change))
    assert str(path) in str(caught.value)


def test_the_range_of_noise_levels_and_the_order_of_observations_are_free(path):
    observation = dict(reversed(SPEC.observation.items()))
    load_checkpoint(path, attrs.evolve(SPEC, observation=observation, sigma_range=(0.1, 1.0)))


def rewrite(path, **changes):
    with safetensors.safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, {"codi": json.dumps(read_metadata(path) | changes)})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p.unlink(), "does not exist"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "damaged or truncated"),
        (lambda p: p.write_bytes(b""), "damaged or truncated"),
        (lambda p: save_file({"a": torch.zeros(1)}, p), "not a checkpoint of codi-train"),
        (lambda p: rewrite(p, format_version=99), "format_version 99"),
        (lambda p: rewrite(p, history=3), "size mismatch"),
        (lambda p: rewrite(p, architecture={}), "'network'"),
        (lambda p: rewrite(p, architecture={"network": "vit", "options": {}}), "vit"),
    ],
)
def test_spoilt_files_are_named(path, spoil, words):
    spoil(path)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


def tuned(change):
    """The policy with one parameter changed."""
    other = policy()
    with torch.no_grad():
        next(other.parameters()).add_(change)
    return other


def same(first, second):
    one, other = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one)


def stored(path):
    with safetensors.safe_open(path, "pt") as file:
        return set(file.keys())


def test_a_checkpoint_holds_what_differs_from_its_frozen_base(path, tmp_path):
    save_checkpoint(tuned(1.0), tmp_path / "tuned.safetensors", {"data": {}}, base=path)
    assert read_metadata(tmp_path / "tuned.safetensors")["base"] == checkpoint_digest(path)
    assert len(stored(tmp_path / "tuned.safetensors")) == 1
    assert same(load_checkpoint(tmp_path / "tuned.safetensors", SPEC), tuned(1.0))
    # One on top of the other.
    save_checkpoint(tuned(2.0), tmp_path / "again.safetensors", base=tmp_path / "tuned.safetensors")
    assert same(load_checkpoint(tmp_path / "again.safetensors"), tuned(2.0))
    assert find_base(path) is None


def test_a_base_is_found_by_its_digest_whatever_it_is_called(path, tmp_path):
    save_checkpoint(tuned(1.0), tmp_path / "tuned.safetensors", base=path)
    elsewhere = tmp_path / "elsewhere" / "base.safetensors"
    elsewhere.parent.mkdir()
    path.rename(elsewhere)
    with pytest.raises(CheckpointError, match=r"is not beside it \(there is no other checkpoint\)"):
        load_checkpoint(tmp_path / "tuned.safetensors")
    assert same(load_checkpoint(tmp_path / "tuned.safetensors", base=elsewhere), tuned(1.0))
    beside = elsewhere.rename(tmp_path / "any name.safetensors")
    assert find_base(tmp_path / "tuned.safetensors") == beside
    assert same(load_checkpoint(tmp_path / "tuned.safetensors"), tuned(1.0))


def test_another_base_is_refused_by_name(path, tmp_path):
    save_checkpoint(tuned(1.0), tmp_path / "tuned.safetensors", base=path)
    save_checkpoint(tuned(3.0), tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"other\.safetensors is not the base of .*tuned"):
        load_checkpoint(tmp_path / "tuned.safetensors", base=tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="does not exist"):
        load_checkpoint(tmp_path / "tuned.safetensors", base=tmp_path / "nowhere")
    path.unlink()
    with pytest.raises(CheckpointError, match=r"there is other\.safetensors\): copy it there"):
        load_checkpoint(tmp_path / "tuned.safetensors")


def test_a_checkpoint_can_be_read_by_those_who_can_read_the_folder(path):
    (path.parent / "plain").touch()
    assert path.stat().st_mode == (path.parent / "plain").stat().st_mode
    (path.parent / "plain").unlink()


@pytest.mark.parametrize("text", ['{"format_version":', "[1]", "1", "null", '"x"'])
def test_metadata_that_are_no_object_are_named(tmp_path, text):
    save_file({"a": torch.ones(1)}, tmp_path / "c", {"codi": text})
    with pytest.raises(CheckpointError, match=r"metadata (that are no JSON object|\()"):
        read_metadata(tmp_path / "c")


@pytest.mark.parametrize(
    "changes",
    [
        {"action": None},
        {"action": {"names": 3}},
        {"observation": [["x"]]},
        {"observation": {"x": 1}},
        {"sigma_range": 1},
        {"diffusion": []},
        {"architecture": "unet"},
        {"architecture": {"network": "unet", "options": {"widths": "wide"}}},
        {"history": "two"},
        {"history": 0},
        {"sigma_range": [0.1, float("nan")]},
        {"sigma_range": [2.0, 1.0]},
        {"sigma_range": ["0.1", "1"]},
        {"action": {"names": ["x", "y"], "horizon": 0}},
        {"action": {"names": ["x", "y"], "horizon": 8.0}},
        {"action": {"names": ["x", "y"], "rate_hz": float("nan")}},
        {"action": {"names": ["x", "y"], "rate_hz": None}},
        {"action": {"names": ["x", "y"], "offset": "one"}},
        {"diffusion": {"sigma_data": float("nan")}},
        {"diffusion": {"sigma_data": 0}},
        {"diffusion": {"noise_mean": "x"}},
        {"diffusion": {"noise_mean": float("inf")}},
        {"diffusion": {"noise_std": -1.0}},
        {"diffusion": {"noise_std": None}},
    ],
)
def test_metadata_of_other_kinds_are_named(path, changes):
    rewrite(path, **changes)
    with pytest.raises(CheckpointError, match="does not describe a policy"):
        load_checkpoint(path)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(path, number):
    metadata, tensors = read_metadata(path), read_tensors(path)
    for name in tensors:
        broken = tensors[name].clone()
        broken.view(-1)[-1] = number
        write_tensors(path, {**tensors, name: broken}, metadata)
        with pytest.raises(CheckpointError, match=f"not finite in '{re.escape(name)}'"):
            load_checkpoint(path)


@pytest.mark.parametrize("scale", [0.0, -1.0])
@pytest.mark.parametrize("name", ["normaliser.scale", "observation_normalisers.1.scale"])
def test_scales_that_divide_by_nothing_are_named(path, name, scale):
    metadata, tensors = read_metadata(path), read_tensors(path)
    tensors[name][0] = scale
    write_tensors(path, tensors, metadata)
    with pytest.raises(CheckpointError, match="scale must be positive"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "name", ["action/rate_hz", "action/horizon", "action/offset", "diffusion/sigma_data"]
)
def test_what_is_missing_gets_no_default(path, name):
    group, field = name.split("/")
    rest = {key: value for key, value in read_metadata(path)[group].items() if key != field}
    rewrite(path, **{group: rest})
    with pytest.raises(CheckpointError, match=f"KeyError: '{field}'"):
        load_checkpoint(path)


def test_saving_leaves_no_partial_file(path):
    assert [other.name for other in path.parent.iterdir()] == ["policy.safetensors"]
