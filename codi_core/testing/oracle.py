"""The exact coordinated policy: Eq. 7 where it is a Gaussian mixture."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.testing.costs import QuadraticCost
from codi_core.testing.mixtures import GaussianMixture, lead


@attrs.frozen(eq=False)
class Tilt:
    """exp(-J/λ) p, normalised.

    Attributes:
        mixture: π = exp(-J/λ) p / Z, Eq. 7.
        log_normaliser: log Z = log E_p[exp(-J/λ)], (…).
    """

    mixture: GaussianMixture
    log_normaliser: Tensor


def tilt(mixture: GaussianMixture, cost: QuadraticCost, temperature: float) -> Tilt:
    """Multiply a mixture by exp(-J/λ) and complete the square in each component.

    In a component's own coordinates, a = μ + U √v z with z ~ N(0, I), the exponent is
    -½‖z‖² - ½‖A z - d‖² - β·z - (b·μ + k)/λ with A = L U √v / √λ. So z stays Gaussian, with
    precision P = I + AᵀA and mean P⁻¹(Aᵀd - β), also where v has zeros.

    Args:
        mixture: p, with any batch axes.
        cost: J; its target and slope may differ from world to world.
        temperature: λ.
    """
    axes = max(len(mixture.batch), cost.target.ndim - 1, cost.slope.ndim - 1)
    means, basis = lead(mixture.means, 2, axes), lead(mixture.basis, 3, axes)
    root = lead(mixture.variances, 2, axes).sqrt()
    slope = lead(cost.slope, 1, axes).unsqueeze(-2)
    turned = (cost.rows @ basis) * root.unsqueeze(-2) / temperature**0.5
    miss = (lead(cost.target, 1, axes).unsqueeze(-2) - means @ cost.rows.mT) / temperature**0.5
    beta = torch.einsum("...cd,...cdr->...cr", slope / temperature, basis) * root
    identity = torch.eye(root.shape[-1], dtype=root.dtype, device=root.device)
    precision = turned.mT @ turned + identity
    factor = torch.linalg.cholesky(precision)
    pull = torch.einsum("...cqr,...cq->...cr", turned, miss) - beta
    factor = factor.expand(*pull.shape, factor.shape[-1])
    centre = torch.cholesky_solve(pull.unsqueeze(-1), factor).squeeze(-1)

    # At its minimum the exponent is a sum of squares: no large numbers cancel.
    rest = torch.einsum("...cqr,...cr->...cq", turned, centre) - miss
    exponent = 0.5 * (rest.square().sum(-1) + centre.square().sum(-1)) + (beta * centre).sum(-1)
    exponent = exponent + ((means * slope).sum(-1) + cost.constant) / temperature
    log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    joint = lead(mixture.log_weights, 1, axes) - exponent - log_det
    tilted = GaussianMixture(
        joint.log_softmax(-1),
        means + torch.einsum("...cdr,...cr->...cd", basis, root * centre),
        *_principal(mixture, precision, axes),
    )
    return Tilt(tilted, torch.logsumexp(joint, -1))


def _principal(mixture: GaussianMixture, precision: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """Eigenvectors and eigenvalues of U √v P⁻¹ √v Uᵀ, without batch axes where there are none."""
    basis, root = lead(mixture.basis, 3, axes), lead(mixture.variances, 2, axes).sqrt()
    inner = root.unsqueeze(-1) * torch.linalg.inv(precision) * root.unsqueeze(-2)
    variances, turn = torch.linalg.eigh(0.5 * (inner + inner.mT))
    variances, turned = variances.clamp_min(0), basis @ turn
    if all(size == 1 for size in turned.shape[:axes]):
        return turned.reshape(turned.shape[axes:]), variances.reshape(variances.shape[axes:])
    return turned, variances


@attrs.frozen(eq=False)
class Oracle:
    """Everything that is known exactly about π ∝ exp(-J/λ) p (Eq. 7).

    Attributes:
        base: p, the product policy.
        cost: J.
        temperature: λ.
        target: π.
        log_normaliser: log Z, (…).
    """

    base: GaussianMixture
    cost: QuadraticCost
    temperature: float
    target: GaussianMixture
    log_normaliser: Tensor

    @classmethod
    def of(cls, base: GaussianMixture, cost: QuadraticCost, temperature: float) -> Oracle:
        """Work π out."""
        result = tilt(base, cost, temperature)
        return cls(base, cost, temperature, result.mixture, result.log_normaliser)

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """E_π[a | a_t]: the exact guided denoiser, from (…, D) to (…, D)."""
        return self.target.denoise(x, sigma)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """∇ log π_t: the exact guided score, from (…, D) to (…, D)."""
        return self.target.score(x, sigma)

    def shift(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """t² g^J(x; t): what guidance adds to the denoiser, from (…, D) to (…, D)."""
        return self.target.denoise(x, sigma) - self.base.denoise(x, sigma)

    def guidance_score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """g^J(x; t) = ∇ log π_t - ∇ log p_t (Eq. 12), from (…, D) to (…, D)."""
        return self.score(x, sigma) - self.base.score(x, sigma)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Exact draws from π, (…, count, D)."""
        return self.target.sample(count, generator)

    def mean(self) -> Tensor:
        """E_π[a], (…, D)."""
        return self.target.mean()

    def covariance(self) -> Tensor:
        """Cov_π[a], (…, D, D)."""
        return self.target.covariance()

    def expected_cost(self) -> Tensor:
        """E_π[J], (…)."""
        return self.cost.expectation(self.target)

    def unguided_cost(self) -> Tensor:
        """E_p[J], (…): what the product policy pays without guidance."""
        return self.cost.expectation(self.base)

    def divergence(self) -> Tensor:
        """KL(π ‖ p) = -E_π[J]/λ - log Z, (…)."""
        return -self.expected_cost() / self.temperature - self.log_normaliser

    def objective(self) -> Tensor:
        """The least value of Eq. 6, E_π[J] + λ KL(π ‖ p) = -λ log Z, (…)."""
        return -self.temperature * self.log_normaliser


@attrs.frozen(eq=False)
class FactoredOracle:
    """An oracle for agents in groups that the cost does not couple: π = Π_g π_g.

    It never enumerates the mode combinations of different groups.

    Attributes:
        groups: one oracle a group of agents, in the order of their columns.
    """

    groups: tuple[Oracle, ...]

    @property
    def temperature(self) -> float:
        """λ, the same for all groups."""
        return self.groups[0].temperature

    @property
    def log_normaliser(self) -> Tensor:
        """log Z, (…)."""
        return sum((group.log_normaliser for group in self.groups), torch.zeros(()))

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The groups' columns of flat joint chunks (…, D)."""
        return torch.split_with_sizes(x, [group.base.size for group in self.groups], -1)

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """E_π[a | a_t]: the exact guided denoiser, from (…, D) to (…, D)."""
        return self._stack([group.denoise(part, sigma) for group, part in self._parts(x)])

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """∇ log π_t: the exact guided score, from (…, D) to (…, D)."""
        return self._stack([group.score(part, sigma) for group, part in self._parts(x)])

    def shift(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """t² g^J(x; t): what guidance adds to the denoiser, from (…, D) to (…, D)."""
        return self._stack([group.shift(part, sigma) for group, part in self._parts(x)])

    def guidance_score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """g^J(x; t), from (…, D) to (…, D)."""
        return self._stack([group.guidance_score(part, sigma) for group, part in self._parts(x)])

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Exact draws from π, (…, count, D)."""
        return self._stack([group.sample(count, generator) for group in self.groups])

    def mean(self) -> Tensor:
        """E_π[a], (…, D)."""
        return self._stack([group.mean() for group in self.groups])

    def covariance(self) -> Tensor:
        """Cov_π[a], (D, D), for one world."""
        blocks = (group.covariance() for group in self.groups)
        covariance: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
        return covariance

    def expected_cost(self) -> Tensor:
        """E_π[J], (…)."""
        return sum((group.expected_cost() for group in self.groups), torch.zeros(()))

    def unguided_cost(self) -> Tensor:
        """E_p[J], (…): what the product policy pays without guidance."""
        return sum((group.unguided_cost() for group in self.groups), torch.zeros(()))

    def divergence(self) -> Tensor:
        """KL(π ‖ p), (…)."""
        return sum((group.divergence() for group in self.groups), torch.zeros(()))

    def objective(self) -> Tensor:
        """The least value of Eq. 6, (…)."""
        return -self.temperature * self.log_normaliser

    def _parts(self, x: Tensor) -> list[tuple[Oracle, Tensor]]:
        return list(zip(self.groups, self.split(x), strict=True))

    @staticmethod
    def _stack(parts: list[Tensor]) -> Tensor:
        return torch.cat(parts, -1)


def gaussian_divergence(
    mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor
) -> Tensor:
    """KL(N(mean, covariance) ‖ N(other_mean, other_covariance)), (D,) and (D, D) each."""
    factor = torch.linalg.cholesky(other_covariance)
    ratio = torch.cholesky_solve(covariance, factor)
    miss = other_mean - mean
    distance = (miss * torch.cholesky_solve(miss.unsqueeze(-1), factor).squeeze(-1)).sum()
    log_det = torch.linalg.slogdet(other_covariance)[1] - torch.linalg.slogdet(covariance)[1]
    divergence: Tensor = ratio.diagonal().sum() + distance - mean.shape[-1] + log_det
    return 0.5 * divergence
