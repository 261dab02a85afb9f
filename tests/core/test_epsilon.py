"""Discrete-time models as base policies, proved on a Gaussian."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.errors import SpecificationError
from codi_core.policies import ActionSpec, EpsilonPolicy, Normaliser, PolicySpec

SPREAD = 0.6
SPEC = PolicySpec(ActionSpec(("x", "y"), horizon=4), {"mean": (1,)})
ALPHAS = torch.cumprod(1 - torch.linspace(1e-4, 0.06, 100, dtype=torch.float64), 0)
LEVELS = torch.sqrt((1 - ALPHAS) / ALPHAS)


class GaussianModel:
    """The exact ε(x_k, k, s) for a ~ N(m(s), SPREAD² I): E[ε | x_k]."""

    def __init__(self):
        self.asked = []

    def encode(self, observation):
        return observation["mean"].flatten(1)

    def __call__(self, noisy, step, embedding):
        self.asked.append(step)
        low = step.floor().long().clamp(max=len(ALPHAS) - 2)
        # √((1-ᾱ)/ᾱ) between the steps, as a model that generalises over them would have it.
        log = torch.lerp(LEVELS.log()[low], LEVELS.log()[low + 1], (step - low).double())
        kept = 1 / (1 + torch.exp(2 * log))
        kept = kept[:, None, None].float()
        centred = noisy - kept.sqrt() * embedding[:, None]
        return (1 - kept).sqrt() * centred / (kept * SPREAD**2 + 1 - kept)


def policy(**settings):
    return EpsilonPolicy(SPEC, Normaliser.identity(2), GaussianModel(), ALPHAS, **settings)


@given(st.floats(float(LEVELS[0]), float(LEVELS[-1])))
def test_the_denoiser_is_exact_at_every_noise_level(sigma):
    mean = torch.tensor([[[-1.0]], [[2.0]]])
    noisy = mean + torch.linspace(-2, 2, 16).view(2, 1, 8) * sigma
    denoised = policy().denoiser({"mean": mean})(noisy, torch.tensor(sigma))
    exact = (SPREAD**2 * noisy + sigma**2 * mean) / (SPREAD**2 + sigma**2)
    torch.testing.assert_close(denoised, exact, atol=2e-4, rtol=2e-4)


def test_the_range_of_noise_levels_is_the_models():
    low, high = policy().spec.sigma_range
    assert low == pytest.approx(0.01, rel=1e-3)
    assert high == pytest.approx(float(LEVELS[-1]))


def test_steps_at_and_between_the_discrete_levels():
    p = policy()
    torch.testing.assert_close(p.step(LEVELS.float()), torch.arange(100.0), atol=1e-3, rtol=0)
    middle = torch.sqrt(LEVELS[10] * LEVELS[11])
    assert float(p.step(middle)) == pytest.approx(10.5, abs=1e-6)
    assert p.step(torch.tensor([1e-9, 1e9])).tolist() == [0, 99]


def test_a_model_of_whole_steps_is_asked_for_the_nearest():
    p = policy(fractional=False)
    p.denoiser({"mean": torch.zeros(3, 1, 1)})(torch.zeros(3, 8), LEVELS[10:13].float() * 1.01)
    assert p.model.asked[0].tolist() == [10, 11, 12]


def test_samples_and_levels_for_each_world():
    p, mean = policy(), torch.tensor([[[-1.0]], [[2.0]]])
    noisy, sigma = torch.randn(2, 5, 8), torch.tensor([0.5, 1.5])
    together = p.denoiser({"mean": mean})(noisy, sigma)
    for world in range(2):
        alone = p.denoiser({"mean": mean[world : world + 1]})
        for sample in range(5):
            one = alone(noisy[world : world + 1, sample], sigma[world])
            torch.testing.assert_close(together[world, sample], one[0])


@pytest.mark.parametrize("alphas", [[0.5], [0.5, 0.6], [1.0, 0.5], [[0.9, 0.5]]])
def test_alphas_that_are_no_schedule_are_refused(alphas):
    with pytest.raises(SpecificationError, match="alphas_cumprod"):
        EpsilonPolicy(SPEC, Normaliser.identity(2), GaussianModel(), torch.tensor(alphas))
