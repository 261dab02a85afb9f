"""Gaussian mixtures whose diffusion is known exactly at every noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import attrs
import torch
from torch import Tensor

from codi_core.errors import SpecificationError

MAX_COMPONENTS = 4096
"""How many components a product of mixtures may have before it must be kept factored."""


@attrs.frozen(eq=False)
class GaussianMixture:
    """p(a) = Σ_c w_c N(a; μ_c, U_c diag(v_c) U_cᵀ), in D dimensions.

    The covariances are kept by their eigenvectors, because noise of variance t² only adds t² to
    every eigenvalue (Eq. 2). A basis of R < D columns stands for a covariance of rank R; such a
    mixture has a density at noise levels above zero only.

    Everything may differ from world to world: each attribute may have leading batch axes (B, …).
    Points x then have the same leading axes, and any further ones: (B, …, D). A noise level is
    () or (B,). Computations run in the mixture's precision, results have that of the points.

    Attributes:
        log_weights: log w_c, (…, C), normalised.
        means: μ_c, (…, C, D).
        basis: U_c, orthonormal columns, (…, C, D, R).
        variances: v_c ≥ 0, (…, C, R).
    """

    log_weights: Tensor
    means: Tensor
    basis: Tensor
    variances: Tensor

    @classmethod
    def from_covariances(
        cls, weights: Tensor, means: Tensor, covariances: Tensor
    ) -> GaussianMixture:
        """Build from weights (C,), means (C, D) and full covariances (C, D, D)."""
        variances, basis = torch.linalg.eigh(covariances)
        return cls((weights / weights.sum()).log(), means, basis, variances.clamp_min(0))

    @classmethod
    def gaussian(cls, mean: Tensor, covariance: Tensor) -> GaussianMixture:
        """One Gaussian: mean (D,) and covariance (D, D)."""
        return cls.from_covariances(mean.new_ones(1), mean[None], covariance[None])

    @property
    def components(self) -> int:
        """C, the number of components."""
        return self.means.shape[-2]

    @property
    def size(self) -> int:
        """D, the number of dimensions."""
        return self.means.shape[-1]

    @property
    def batch(self) -> torch.Size:
        """The leading axes of points that belong to the mixture."""
        shapes = (
            self.log_weights.shape[:-1],
            self.means.shape[:-2],
            self.basis.shape[:-3],
            self.variances.shape[:-2],
        )
        return max(shapes, key=len)

    def log_density(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log p_t(x) with p_t = p * N(0, t²I) (Eq. 1), from (…, D) to (…)."""
        return torch.logsumexp(self._log_joint(x, sigma)[0], -1).to(x.dtype)

    def responsibilities(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """p(c | a_t = x), from (…, D) to (…, C)."""
        return torch.softmax(self._log_joint(x, sigma)[0], -1).to(x.dtype)

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """D(x, t) = E[a | a_t = x], from (…, D) to (…, D)."""
        log_joint, means, _ = self._log_joint(x, sigma)
        return torch.einsum("...c,...cd->...d", log_joint.softmax(-1), means).to(x.dtype)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """∇ log p_t(x) = (D(x, t) - x)/t² (Eq. 3), from (…, D) to (…, D)."""
        return (self.denoise(x, sigma) - x) / self._level(x, sigma).square()

    def jacobian(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """∂D/∂a_t = Cov[a | a_t]/t² (Eq. 16), from (…, D) to (…, D, D)."""
        level = self._level(x, sigma).square().unsqueeze(-1)
        return (self.posterior(x, sigma).covariance() / level).to(x.dtype)

    def posterior(self, x: Tensor, sigma: Tensor | float) -> GaussianMixture:
        """p(a | a_t = x): a mixture with the points' leading axes as its batch."""
        log_joint, means, variances = self._log_joint(x, sigma)
        return GaussianMixture(log_joint.log_softmax(-1), means, self.basis, variances)

    def mean(self) -> Tensor:
        """E[a], (…, D)."""
        return torch.einsum("...c,...cd->...d", self.log_weights.exp(), self.means)

    def covariance(self) -> Tensor:
        """Cov[a], (…, D, D)."""
        axes = len(self.batch)
        weights = lead(self.log_weights, 1, axes).exp()
        centred = lead(self.means - self.mean().unsqueeze(-2), 2, axes)
        basis, variances = lead(self.basis, 3, axes), lead(self.variances, 2, axes)
        between = torch.einsum("...c,...cd,...ce->...de", weights, centred, centred)
        spread = weights.unsqueeze(-1) * variances
        return between + torch.einsum("...cdr,...cr,...cer->...de", basis, spread, basis)

    def shifted(self, offset: Tensor) -> GaussianMixture:
        """The distribution of a + offset; an offset (B, D) makes one mixture per world."""
        axes = offset.ndim - 1
        return attrs.evolve(self, means=lead(self.means, 2, axes) + offset.unsqueeze(-2))

    def scaled(self, scale: float) -> GaussianMixture:
        """The distribution of scale · a."""
        return attrs.evolve(self, means=self.means * scale, variances=self.variances * scale**2)

    def transform(self, uniform: Tensor, normal: Tensor) -> Tensor:
        """Turn noise into draws.

        Args:
            uniform: values in [0, 1), (…, M); each chooses a component.
            normal: standard normal values, (…, M, n) with n ≥ R; the first R are used.

        Returns:
            Independent draws, (…, M, D).
        """
        total = self.log_weights.exp().cumsum(-1)
        wanted = uniform.to(total) * total[..., -1:]
        shape = (*wanted.shape[:-1], self.components)
        choice = torch.searchsorted(
            total.expand(shape).contiguous(), wanted.contiguous(), right=True
        ).clamp_max(self.components - 1)
        means = _pick(self.means, choice)
        deviation = _pick(self.variances.sqrt(), choice)
        coordinates = normal[..., : self.variances.shape[-1]].to(means) * deviation
        return means + self._rotate(coordinates, choice)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw (…, count, D)."""
        shape = (*self.batch, count)
        dtype, device = self.means.dtype, self.means.device
        uniform = torch.rand(shape, generator=generator, dtype=dtype, device=device)
        coordinates = (*shape, self.variances.shape[-1])
        normal = torch.randn(coordinates, generator=generator, dtype=dtype, device=device)
        return self.transform(uniform, normal)

    def times(self, other: GaussianMixture) -> GaussianMixture:
        """The joint distribution of two independent parts, this one's columns first (Eq. 13).

        Raises:
            SpecificationError: it would have more than MAX_COMPONENTS components.
        """
        count = self.components * other.components
        if count > MAX_COMPONENTS:
            raise SpecificationError(
                f"the product of the mixtures has {count} components, more than "
                f"{MAX_COMPONENTS}: keep it factored"
            )
        return GaussianMixture(
            sum(_pairs(self.log_weights, other.log_weights, 0), torch.zeros(())),
            torch.cat(_pairs(self.means, other.means, 1), -1),
            _block_diagonal(self.basis, other.basis),
            torch.cat(_pairs(self.variances, other.variances, 1), -1),
        )

    def _log_joint(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """log p(c, a_t = x) (…, C); the posterior's means (…, C, D) and variances (…, C, R)."""
        axes = x.ndim - 1
        means, basis = lead(self.means, 2, axes), lead(self.basis, 3, axes)
        variances = lead(self.variances, 2, axes)
        level = self._level(x, sigma).to(means).square().unsqueeze(-1)
        residual = x.to(means).unsqueeze(-2) - means
        coordinates = torch.einsum("...cd,...cdr->...cr", residual, basis)
        total = variances + level
        square = (coordinates.square() / total).sum(-1)
        log_det = total.log().sum(-1)
        missing = self.size - self.variances.shape[-1]
        if missing:
            beside = residual.square().sum(-1) - coordinates.square().sum(-1)
            square = square + beside.clamp_min(0) / level.squeeze(-1)
            log_det = log_det + missing * level.squeeze(-1).log()
        constant = self.size * math.log(2 * math.pi)
        shrink = variances / total
        log_joint = lead(self.log_weights, 1, axes) - 0.5 * (square + log_det + constant)
        centres = means + torch.einsum("...cr,...cdr->...cd", shrink * coordinates, basis)
        return log_joint, centres, shrink * level

    @staticmethod
    def _level(x: Tensor, sigma: Tensor | float) -> Tensor:
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        return level.reshape(level.shape + (1,) * (x.ndim - level.ndim))

    def _rotate(self, coordinates: Tensor, choice: Tensor) -> Tensor:
        if self.basis.ndim > 3:
            picked = _pick(self.basis.flatten(-2), choice)
            basis = picked.reshape(*choice.shape, *self.basis.shape[-2:])
            return torch.einsum("...dr,...r->...d", basis, coordinates)
        # One small product a component: gathering the bases would need (…, M, D, R) numbers.
        out = coordinates.new_zeros((*choice.shape, self.size))
        for index, basis in enumerate(self.basis):
            chosen = choice == index
            out[chosen] = coordinates[chosen] @ basis.mT
        return out


def joint_mixture(parts: Sequence[GaussianMixture]) -> GaussianMixture:
    """The joint distribution of independent parts, enumerated over all mode combinations."""
    return reduce(GaussianMixture.times, parts)


def lead(parameter: Tensor, event: int, axes: int) -> Tensor:
    """Give a parameter (B…, event axes) ``axes`` leading axes, new ones after its own."""
    leading = parameter.ndim - event
    shape = parameter.shape
    return parameter.reshape(*shape[:leading], *(1,) * (axes - leading), *shape[leading:])


def _pick(parameter: Tensor, choice: Tensor) -> Tensor:
    """Row ``choice`` (…, M) of a parameter (…, C, n): (…, M, n)."""
    parameter = lead(parameter, 2, choice.ndim - 1)
    parameter = parameter.expand(*choice.shape[:-1], *parameter.shape[-2:])
    index = choice.unsqueeze(-1).expand(*choice.shape, parameter.shape[-1])
    return torch.gather(parameter, -2, index)


def _pairs(first: Tensor, second: Tensor, event: int) -> tuple[Tensor, Tensor]:
    """Both parameters for all pairs of components, (…, C₁·C₂, event axes) each."""
    axis = -event - 1
    axes = max(first.ndim, second.ndim) + axis
    first, second = lead(first, event + 1, axes), lead(second, event + 1, axes)
    batch = [max(sizes) for sizes in zip(first.shape[:axes], second.shape[:axes], strict=True)]
    first = first.expand(*batch, *first.shape[axes:])
    second = second.expand(*batch, *second.shape[axes:])
    left = first.repeat_interleave(second.shape[axis], axis)
    repeats = [1] * second.ndim
    repeats[axis] = first.shape[axis]
    return left, second.repeat(*repeats)


def _block_diagonal(first: Tensor, second: Tensor) -> Tensor:
    left, right = _pairs(first, second, 2)
    return torch.cat(
        [
            torch.cat([left, left.new_zeros(*left.shape[:-1], right.shape[-1])], -1),
            torch.cat([right.new_zeros(*right.shape[:-1], left.shape[-1]), right], -1),
        ],
        -2,
    )
