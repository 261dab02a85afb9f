"""Base policies are evaluated in the precision that is asked for, and nothing else is."""

from __future__ import annotations

import pytest
import torch

from codi_core.planning import prepare
from codi_core.policies import BasePolicy, DiffusionPolicy, Factor, PolicySpec, ProductPolicy
from codi_core.policies.diffusion import precondition
from codi_core.testing import action_spec

SPEC = PolicySpec(action_spec(2, 8), {"seen": (3,)})
OBSERVATION = {"seen": torch.linspace(-1, 1, 15).view(5, 1, 3)}
LEVELS = torch.tensor([40.0, 5.0, 0.7, 0.05, 0.002])


def policy() -> DiffusionPolicy:
    """One whose network does something: new ones end in zeros."""
    torch.manual_seed(0)
    made = DiffusionPolicy.build(SPEC, "mlp")
    torch.nn.init.normal_(made.network.get_parameter(f"{made.network.last_layer}.weight"), std=0.2)
    return made


def product_of(base: BasePolicy, *precision: str) -> ProductPolicy:
    return ProductPolicy([Factor(base, (0,), lambda joint: joint)], *precision)


@torch.no_grad()
def denoised(product: ProductPolicy, noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    denoiser = product.denoiser(OBSERVATION)
    prepare(denoiser, LEVELS)
    return denoiser(noisy, sigma)


@pytest.mark.parametrize("samples", [(), (40,)])
def test_bfloat16_errs_by_two_percent_of_what_the_network_says(samples: tuple[int, ...]) -> None:
    base = policy()
    exact, rounded = product_of(base), product_of(base, "bfloat16")
    for sigma in LEVELS:
        generator = torch.Generator().manual_seed(1)
        noisy = (1 + sigma**2).sqrt() * torch.randn(5, *samples, 16, generator=generator)
        expected, found = denoised(exact, noisy, sigma), denoised(rounded, noisy, sigma)
        assert found.dtype == torch.float32
        factors = precondition(sigma, base.sigma_data)
        said = expected - factors.skip * noisy
        error = (found - expected).square().mean().sqrt() / said.square().mean().sqrt()
        assert 1e-4 < error < 0.02


@torch.no_grad()
def test_by_default_numbers_are_those_of_the_policy() -> None:
    base, noisy, sigma = policy(), torch.randn(5, 16), torch.tensor(0.7)
    expected = base.denoiser(OBSERVATION)(noisy, sigma)
    assert torch.equal(product_of(base).denoiser(OBSERVATION)(noisy, sigma), expected)


class Asking(BasePolicy):
    """Notes how products are made where it is evaluated."""

    def __init__(self) -> None:
        self.inside, self.spec, self.normaliser = policy(), SPEC, policy().normaliser
        self.found: list[tuple[bool, bool, bool]] = []

    def denoiser(self, observation):
        self.found.append(how())
        inside = self.inside.denoiser(observation)

        def denoise(noisy, sigma):
            self.found.append(how())
            return inside(noisy, sigma)

        return denoise


def how() -> tuple[bool, bool, bool]:
    backends = torch.backends
    autocast = torch.is_autocast_enabled("cpu")
    return autocast, backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("float32", (False, False, True)),  # PyTorch's own choice
        ("bfloat16", (True, False, True)),
        ("tf32", (False, True, True)),
    ],
)
def test_only_policies_are_evaluated_in_it(precision: str, expected: tuple[bool, ...]) -> None:
    asking, before = Asking(), how()
    denoised(product_of(asking, precision), torch.randn(5, 16), torch.tensor(0.7))
    assert asking.found == [expected, expected]
    assert how() == before == (False, False, True)
