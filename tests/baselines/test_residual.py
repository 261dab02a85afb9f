"""A residual on a frozen base (Eq. 45)."""

import copy

import pytest
import torch

from codi_baselines.finetuning.residual import load_residual, residual_policy, save_residual
from codi_core.errors import CheckpointError
from codi_core.planning import prepare
from codi_core.policies import (
    ActionSpec,
    Batch,
    DiffusionPolicy,
    Normaliser,
    PolicySpec,
    denoising_loss,
)
from codi_core.training import read_metadata
from codi_core.training.checkpoint import read_tensors

SPEC = PolicySpec(ActionSpec(("x", "y"), 4), {"seen": (3,)}, history=2)
OPTIONS = {"mlp": {"width": 16, "depth": 2}, "unet": {"widths": (8, 16)}}
WORLDS, SAMPLES = 3, 5


def base_policy(kind="mlp", seed=0):
    torch.manual_seed(seed)
    normaliser = Normaliser(torch.tensor([1.0, -1.0]), torch.tensor([2.0, 3.0]))
    return DiffusionPolicy.build(SPEC, kind, normaliser, **OPTIONS[kind])


def batch(count=8):
    generator = torch.Generator().manual_seed(1)
    seen = torch.randn(count, 2, 3, generator=generator)
    return Batch({"seen": seen}, torch.randn(count, 4, 2, generator=generator))


def taught(policy, steps=20):
    """The policy after a few steps of training."""
    generator = torch.Generator().manual_seed(2)
    free = [value for value in policy.parameters() if value.requires_grad]
    optimizer = torch.optim.Adam(free, lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        denoising_loss(policy, batch(), generator).backward()
        optimizer.step()
    return policy


def answers(policy, seed=3, announced=False):
    """The denoiser's answers for several worlds, samples and noise levels."""
    generator = torch.Generator().manual_seed(seed)
    denoiser = policy.denoiser(batch(WORLDS).observation)
    levels = torch.tensor([0.1, 1.0, 10.0])
    if announced:
        prepare(denoiser, levels)
    single = torch.randn(WORLDS, 8, generator=generator)
    several = torch.randn(WORLDS, SAMPLES, 8, generator=generator)
    with torch.no_grad():
        found = [denoiser(single, level) for level in levels]
        return torch.cat([*found, denoiser(several, levels).flatten(0, 1)])


@pytest.mark.parametrize("kind", OPTIONS)
def test_the_first_policy_is_the_base_itself(kind):
    base = base_policy(kind)
    before = answers(base)
    assert torch.allclose(answers(residual_policy(base)), before, atol=1e-5)


@pytest.mark.parametrize("kind", OPTIONS)
def test_the_residual_adds_to_the_score_and_the_base_stays(kind):
    base = base_policy(kind)
    frozen, before = copy.deepcopy(base.state_dict()), answers(base)
    policy = taught(residual_policy(base))
    assert (answers(policy) - before).abs().max() > 0.01
    assert torch.allclose(answers(base), before, atol=1e-5)
    assert all(torch.equal(value, frozen[name]) for name, value in base.state_dict().items())
    # F = F_base + F_res, so that t² g = c_out F_res.
    network, rows = policy.network, torch.randn(6, 4, 2, generator=torch.Generator().manual_seed(4))
    level, conditioning = torch.full((6,), 0.3), policy.condition(batch(6).observation)
    parts = [
        part(rows, level, part.encode(conditioning)) for part in (network.base, network.residual)
    ]
    whole = network(rows, level, network.encode(conditioning))
    assert torch.allclose(whole, parts[0] + parts[1], atol=1e-6) and parts[1].abs().max() > 0.01


def test_levels_that_were_announced_give_the_same_answers():
    policy = taught(residual_policy(base_policy()))
    assert torch.allclose(answers(policy, announced=True), answers(policy), atol=1e-6)


def test_the_denoiser_can_be_differentiated():
    policy = taught(residual_policy(base_policy())).requires_grad_(False)
    noisy = torch.randn(WORLDS, 8, requires_grad=True)
    policy.denoiser(batch(WORLDS).observation)(noisy, torch.tensor(1.0)).sum().backward()
    assert noisy.grad is not None and noisy.grad.abs().min() > 0


@pytest.mark.parametrize("kind", OPTIONS)
def test_only_the_residual_is_stored(tmp_path, kind):
    base, path = base_policy(kind), tmp_path / "residual.safetensors"
    policy = taught(residual_policy(base))
    save_residual(policy, path, {"method": "m"})
    assert read_metadata(path)["method"] == "m"
    assert set(read_tensors(path)) == set(base.network.state_dict())
    again = load_residual(path, base_policy(kind))
    assert torch.allclose(answers(again), answers(policy), atol=1e-5)
    assert not any(value.requires_grad for value in again.parameters())


def test_what_does_not_fit_the_base_is_refused(tmp_path):
    path = tmp_path / "residual.safetensors"
    save_residual(residual_policy(base_policy()), path, {})
    with pytest.raises(CheckpointError, match="does not fit its base policy"):
        load_residual(path, base_policy("unet"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="damaged"):
        load_residual(path, base_policy())
