"""The diffusion policy: preconditioning, batching, normalisation, and what training finds."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.errors import SpecificationError
from codi_core.policies import (
    ActionSpec,
    Batch,
    DiffusionPolicy,
    Factor,
    Normaliser,
    PolicySpec,
    ProductPolicy,
    denoising_loss,
)
from codi_core.policies.diffusion import precondition, training_levels

SPEC = PolicySpec(ActionSpec(("x", "y"), horizon=8), {"arm.pose": (3,), "cube": (2, 2)}, history=2)
POSITIVE = st.floats(1e-3, 1e2)


def policy(**settings):
    torch.manual_seed(0)
    normaliser = Normaliser(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    others = {
        "arm.pose": Normaliser(torch.ones(3), 2 * torch.ones(3)),
        "cube": Normaliser.identity(4),
    }
    settings = {"widths": (16, 32)} | settings
    return DiffusionPolicy.build(SPEC, "unet", normaliser, others, **settings)


def observe(worlds, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "arm.pose": torch.randn(worlds, 2, 3, generator=generator),
        "cube": torch.randn(worlds, 2, 2, 2, generator=generator),
    }


@given(POSITIVE, POSITIVE)
def test_preconditioning_has_the_defining_properties(sigma, spread):
    factors = precondition(torch.tensor(sigma, dtype=torch.float64), spread)
    skip, out, scale_in, noise = (float(value) for value in factors)
    # Unit variance of F's input, and of its target, for data of standard deviation `spread`.
    assert scale_in**2 * (sigma**2 + spread**2) == pytest.approx(1)
    target = (1 - skip) ** 2 * spread**2 + skip**2 * sigma**2
    assert target == pytest.approx(out**2)
    # c_skip makes c_out, by which F's errors grow, as small as it can be.
    for other in (skip + 0.01, skip - 0.01):
        assert (1 - other) ** 2 * spread**2 + other**2 * sigma**2 > out**2
    assert noise == pytest.approx(math.log(sigma) / 4)


def test_a_silent_network_is_the_exact_denoiser_of_a_gaussian():
    # With F = 0 only c_skip x is left: Tweedie's mean for N(0, sigma_data² I).
    p = policy(sigma_data=0.7)
    torch.nn.init.zeros_(p.network.out.weight)
    torch.nn.init.zeros_(p.network.out.bias)
    noisy = torch.randn(3, 16)
    for sigma in (0.01, 1.0, 40.0):
        denoised = p.denoiser(observe(3))(noisy, torch.tensor(sigma))
        torch.testing.assert_close(denoised, noisy * 0.49 / (0.49 + sigma**2))


def test_without_noise_the_denoiser_changes_nothing():
    noisy = torch.randn(3, 16)
    torch.testing.assert_close(policy().denoiser(observe(3))(noisy, torch.tensor(0.0)), noisy)


def test_worlds_samples_and_levels_are_independent_rows():
    p, noisy = policy(), torch.randn(3, 4, 5, 16)
    sigma = torch.tensor([0.1, 1.0, 10.0])
    together = p.denoiser(observe(3))(noisy, sigma)
    assert together.shape == noisy.shape
    for world in range(3):
        alone = {name: value[world : world + 1] for name, value in observe(3).items()}
        denoise = p.denoiser(alone)
        for index in ((0, 0), (3, 4)):
            one = denoise(noisy[world][index].unsqueeze(0), sigma[world])
            torch.testing.assert_close(together[world][index], one[0], atol=1e-4, rtol=1e-4)


def test_observations_are_encoded_once_a_plan(monkeypatch):
    p, calls = policy(), []
    encode = p.network.encode
    monkeypatch.setattr(p.network, "encode", lambda value: calls.append(1) or encode(value))
    denoise = p.denoiser(observe(2))
    for _ in range(3):
        denoise(torch.randn(2, 16), torch.tensor(1.0))
    assert len(calls) == 1


def test_conditioning_is_the_normalised_observation():
    observation = observe(2)
    expected = torch.cat(
        [((observation["arm.pose"] - 1) / 2).flatten(1), observation["cube"].flatten(1)], -1
    )
    torch.testing.assert_close(policy().condition(observation), expected)


def test_derivatives_agree_in_all_modes():
    p, noisy, sigma = policy().double(), torch.randn(2, 16).double(), torch.tensor(0.8).double()
    observation = {name: value.double() for name, value in observe(2).items()}
    denoise = p.denoiser(observation)
    direction = torch.randn_like(noisy)
    _, forward = torch.func.jvp(lambda a: denoise(a, sigma), (noisy,), (direction,))
    step = 1e-5 * direction
    numeric = (denoise(noisy + step, sigma) - denoise(noisy - step, sigma)) / 2e-5
    torch.testing.assert_close(forward, numeric, atol=1e-6, rtol=1e-5)
    rows = torch.func.vmap(
        lambda v: torch.func.jvp(lambda a: denoise(a, sigma), (noisy,), (v,))[1]
    )(torch.stack([direction, 2 * direction]))
    torch.testing.assert_close(rows, torch.stack([forward, 2 * forward]))
    leaf = noisy.clone().requires_grad_()
    (reverse,) = torch.autograd.grad((denoise(leaf, sigma) * direction).sum(), leaf)
    torch.testing.assert_close((reverse * direction).sum(), (forward * direction).sum())


@pytest.mark.parametrize("sigma_data", [1.0, 0.5])
def test_the_loss_is_eq_4_up_to_its_weighting(sigma_data):
    p = policy(sigma_data=sigma_data)
    batch = Batch(observe(64), 3 * torch.randn(64, 8, 2))
    loss = denoising_loss(p, batch, torch.Generator().manual_seed(5))
    # The same draws again, through the public denoiser and Eq. 4 as printed.
    generator = torch.Generator().manual_seed(5)
    clean = p.normaliser.encode(batch.actions).flatten(1)
    t = training_levels(64, p.noise_mean, p.noise_std, generator, clean)
    epsilon = torch.empty(64, 8, 2).normal_(generator=generator).flatten(1)
    noisy = clean + t[:, None] * epsilon
    score = (p.denoiser(batch.observation)(noisy, t) - noisy) / t[:, None] ** 2
    eq_4 = (t[:, None] ** 2 * score + t[:, None] * epsilon).square().mean(-1)
    weight = (t**2 + sigma_data**2) / (t * sigma_data) ** 2
    torch.testing.assert_close(loss, (weight * eq_4).mean(), atol=1e-4, rtol=1e-3)


def test_training_levels_follow_the_log_normal_distribution():
    generator = torch.Generator().manual_seed(0)
    drawn = [training_levels(256, -0.8, 1.2, generator, torch.ones(1)).log() for _ in range(40)]
    # Each batch is stratified: its own mean is far closer than 1.2/√256 = 0.075.
    assert all(abs(float(levels.mean()) + 0.8) < 0.02 for levels in drawn)
    values = torch.cat(drawn)
    assert float(values.std()) == pytest.approx(1.2, abs=0.02)
    quantile = torch.quantile(values, torch.tensor([0.0228, 0.9772]))
    torch.testing.assert_close(quantile, torch.tensor([-3.2, 1.6]), atol=0.08, rtol=0)
    # Shuffled: the level does not grow with the place in the batch.
    places = torch.arange(256.0).repeat(40)
    assert abs(float(torch.corrcoef(torch.stack([places, values]))[0, 1])) < 0.05


def test_training_finds_the_exact_denoiser_of_a_gaussian():
    """D = (σ_d² x + t² m)/(σ_d² + t²) for a ~ N(m(s), σ_d²), in normalised units."""
    torch.manual_seed(0)
    spec = PolicySpec(ActionSpec(("x",), horizon=1), {"o": (1,)})
    p = DiffusionPolicy.build(spec, "mlp", width=32, depth=2)
    spread, generator = 0.5, torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(p.parameters(), 5e-3, fused=True)
    for step in range(1200):
        mean = torch.randint(0, 2, (256, 1, 1), generator=generator) * 2.0 - 1
        actions = mean + spread * torch.randn(256, 1, 1, generator=generator)
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 1200)
        optimizer.zero_grad()
        denoising_loss(p, Batch({"o": mean}, actions), generator).backward()
        optimizer.step()
    observation = {"o": torch.tensor([[[-1.0]], [[1.0]]])}
    for sigma in (0.1, 0.4, 1.0, 2.0):
        offset = torch.linspace(-1.5, 1.5, 7).unsqueeze(-1) * math.hypot(spread, sigma)
        noisy = observation["o"] + offset  # (2, 7, 1)
        exact = (spread**2 * noisy + sigma**2 * observation["o"]) / (spread**2 + sigma**2)
        with torch.no_grad():
            denoised = p.denoiser(observation)(noisy, torch.tensor(sigma))
        assert (denoised - exact).abs().max() < 0.08


def test_it_is_a_factor_of_a_product():
    p = policy()
    product = ProductPolicy(
        [Factor(p, (index,), lambda joint, i=index: joint[i]) for index in range(2)]
    )
    joint = {0: observe(3, seed=1), 1: observe(3, seed=2)}
    noisy, sigma = torch.randn(3, 32), torch.tensor([0.1, 1.0, 5.0])
    denoised = product.denoiser(joint)(noisy, sigma)
    for agent in range(2):
        block = slice(16 * agent, 16 * agent + 16)
        alone = p.denoiser(joint[agent])(noisy[:, block], sigma)
        torch.testing.assert_close(denoised[:, block], alone, atol=1e-5, rtol=1e-5)


def test_observations_that_do_not_fit_are_named():
    missing = {"arm.pose": torch.zeros(1, 2, 3)}
    with pytest.raises(SpecificationError, match=r"'cube' of shape \(worlds, 2, 2, 2\)"):
        policy().denoiser(missing)
    with pytest.raises(SpecificationError, match=r"arm\.pose.*got \(1, 1, 3\)"):
        policy().denoiser(observe(1) | {"arm.pose": torch.zeros(1, 1, 3)})


def test_normalisers_that_do_not_fit_are_refused():
    with pytest.raises(SpecificationError, match="normalisers do not fit"):
        DiffusionPolicy.build(SPEC, "mlp", Normaliser.identity(3))


def test_normalisation_travels_in_the_state_dict():
    p, other = policy(), DiffusionPolicy.build(SPEC, "unet", widths=(16, 32))
    other.load_state_dict(p.state_dict())
    torch.testing.assert_close(other.normaliser.scale, torch.tensor([0.5, 3.0]))
    torch.testing.assert_close(other.condition(observe(2)), p.condition(observe(2)))
