"""Fine-tuning problems in two dimensions whose solution is known."""

import attrs
import torch
from torch import nn

from codi_baselines.finetuning.on_policy import OnPolicySource
from codi_baselines.finetuning.residual import residual_policy
from codi_baselines.finetuning.rollouts import Rollouts
from codi_baselines.sampling import EQUAL_RATIOS
from codi_core.policies import (
    ActionSpec,
    DiffusionPolicy,
    Factor,
    Normaliser,
    PolicySpec,
    ProductPolicy,
)
from codi_core.policies.networks import DenoisingNetwork
from codi_core.samplers import DpmSolverSampler, KarrasSchedule
from codi_core.testing import PassThroughPredictor
from codi_core.training import EMASettings, Trainer, TrainerSettings

SPEC = PolicySpec(ActionSpec(("a",), 2), {"seen": (1,)})
NOISE = {"noise_mean": 0.0, "noise_std": 1.5}
SAMPLER = DpmSolverSampler(KarrasSchedule(16, 20.0, 0.05, EQUAL_RATIOS))
DEGREE = 6


class LinearNetwork(DenoisingNetwork):
    """F is linear in a_t, with coefficients that are polynomials in ln t.

    That is what Gaussians need, and its loss is a well-conditioned quadratic. It begins as zero:
    with sigma_data = 1 the policy is then exactly N(0, I).
    """

    kind = "linear"
    last_layer = "out"

    def __init__(self):
        super().__init__()
        self.options = {}
        self.out = nn.Linear((DEGREE + 1) * (SPEC.action.size + 1), SPEC.action.size, bias=False)
        nn.init.zeros_(self.out.weight)

    def encode(self, conditioning):
        return conditioning

    def forward(self, noisy, noise, embedding, modulation=None):
        u = (4 * noise - NOISE["noise_mean"]) / NOISE["noise_std"]
        powers = [torch.ones_like(u), u]  # normalised Hermite polynomials
        for n in range(1, DEGREE):
            powers.append((u * powers[n] - n**0.5 * powers[n - 1]) / (n + 1) ** 0.5)
        flat = nn.functional.pad(noisy.flatten(1), (0, 1), value=1.0)
        features = torch.stack(powers, -1).unsqueeze(-1) * flat.unsqueeze(1)
        return self.out(features.flatten(1)).view(noisy.shape)


class Nowhere:
    """Recorded states in which nothing differs."""

    def __len__(self):
        return 10

    def states(self, rows):
        return None

    def observation(self, rows):
        return {"seen": torch.zeros(len(rows), 1, 1)}


@attrs.frozen(eq=False)
class Bowl:
    """J(a) = ½ Σ k (a - y)²."""

    stiffness: torch.Tensor = attrs.field(factory=lambda: torch.tensor([3.0, 1.0]))
    target: torch.Tensor = attrs.field(factory=lambda: torch.tensor([1.0, -0.5]))

    def __call__(self, trajectory):
        return 0.5 * (self.stiffness * (trajectory - self.target).square()).sum(-1)

    def expected(self, mean, std):
        """E[J] of N(mean, diag(std²))."""
        return float(0.5 * (self.stiffness * ((mean - self.target).square() + std**2)).sum())

    def tilted(self, sharpness, prior=1.0):
        """Mean and standard deviation of N(0, I/prior) exp(-sharpness J), (2,) each."""
        precision = prior + sharpness * self.stiffness
        return sharpness * self.stiffness * self.target / precision, precision**-0.5


def unit_gaussian():
    return DiffusionPolicy(
        SPEC, LinearNetwork(), Normaliser.identity(1), {"seen": Normaliser.identity(1)}, **NOISE
    )


def rollouts(cost, base=None):
    product = ProductPolicy([Factor(base or unit_gaussian(), (0,), lambda seen: seen)])
    return Rollouts(Nowhere(), product, PassThroughPredictor(), cost, SAMPLER)


def trainer(method, cost, folder, collecting, steps, **changes):
    """Fine-tunes N(0, I)."""
    base = unit_gaussian()
    source = OnPolicySource(rollouts(cost, base), method, collecting)
    settings = TrainerSettings(
        steps,
        batch_size=512,
        learning_rate=0.05,
        warm_up=5,
        ema=EMASettings(0.75, 0.95),
        log_every=10**6,
        save_every=1e9,
        **changes,
    )
    return Trainer(residual_policy(base), method.loss, source, settings, folder)


def drawn(policy, cost, count=3000, seed=9):
    """Samples of a policy, (count, 2)."""
    start = rollouts(cost).at(torch.zeros(1, dtype=torch.long), seed)
    with torch.no_grad():
        return start.draw(policy, count)[0]


def normal(mean, std, count=3000, seed=4):
    generator = torch.Generator().manual_seed(seed)
    return mean + std * torch.randn(count, 2, generator=generator)
