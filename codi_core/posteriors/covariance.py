"""Gaussian posteriors around Tweedie's mean with a full covariance for each factor (Eq. 16)."""

from __future__ import annotations

import warnings
from typing import cast

import attrs
import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning.defaults import SAMPLES
from codi_core.posteriors.base import PosteriorApproximation, PosteriorQuery, PosteriorSamples
from codi_core.samplers import ANCESTRAL, STEPS, Integrator, base_samples

RELATIVE_FLOOR = 1e-6
"""Eigenvalues far below this share of the largest one count as zero (see `symmetric_root`)."""


def symmetric_root(matrices: Tensor, cap: float | None = None) -> Tensor:
    """The symmetric square root of nearly positive matrices, (..., n, n) in float64.

    Eigenvalues are floored at zero and, if wanted, capped. Near zero, v is replaced by
    v²/(v + ε): a root has an infinite slope at zero, where it would blow rounding errors of the
    denoiser up to their own root. The symmetric root doesn't depend on the eigenvectors' signs.

    Args:
        matrices: symmetric up to rounding.
        cap: an upper limit of the eigenvalues, or None.
    """
    values, vectors = torch.linalg.eigh(0.5 * (matrices + matrices.mT))
    values = values.clamp(0.0, cap)
    floor = RELATIVE_FLOOR * values.amax(-1, keepdim=True) + 1e-300
    root = values / (values + floor).sqrt()
    return cast(Tensor, (vectors * root.unsqueeze(-2)) @ vectors.mT)


def factor_jacobians(query: PosteriorQuery) -> list[Tensor]:
    """∂D/∂a_t for each factor's own block, (B, n, n) each, by forward-mode differentiation.

    Given a_t the factors are independent, so one tangent probes one column of every block at
    once: as many tangents as the largest block has columns, not as the joint chunk has. All go
    through the denoiser in one batched pass that evaluates it once.
    """
    noisy, blocks = query.noisy, query.context.layout.blocks
    widths = [block.stop - block.start for block in blocks]
    tangents = noisy.new_zeros(max(widths), noisy.shape[-1])
    for block, width in zip(blocks, widths, strict=True):
        tangents[:width, block] = torch.eye(width, dtype=noisy.dtype, device=noisy.device)

    def denoise(point: Tensor) -> Tensor:
        return query.denoiser(point, query.sigma)

    def push(tangent: Tensor) -> Tensor:
        change = torch.func.jvp(denoise, (noisy,), (tangent.expand_as(noisy),))
        return cast(Tensor, change[1])

    with warnings.catch_warnings():
        # Some activations have no batching rule for their derivative: slower, and still right.
        warnings.filterwarnings("ignore", message="There is a performance drop")
        columns = torch.func.vmap(push)(tangents)  # (n, B, D): derivatives along each tangent
    return [
        columns[:width, :, block].permute(1, 2, 0)
        for block, width in zip(blocks, widths, strict=True)
    ]


def _positive_or_none(_: object, attribute: attrs.Attribute[float], value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"{attribute.name} must be positive, not {value}")


@attrs.frozen
class JacobianPosterior(PosteriorApproximation):
    """N(E[a | a_t], t² ∂D/∂a_t): Eq. 16 in full, since t² ∂D/∂a_t = t²I + t⁴∇s.

    The covariance is exact for an exact denoiser. A trained network's Jacobian is neither quite
    symmetric nor quite positive: it is symmetrised, and its eigenvalues are floored at zero.

    Attributes:
        cap: an upper limit of the covariance's eigenvalues, as a multiple of t². Between two
            modes the true eigenvalues exceed t². None doesn't limit them.
    """

    cap: float | None = attrs.field(default=None, validator=_positive_or_none)

    def draw(self, query: PosteriorQuery, count: int) -> PosteriorSamples:
        """Draw ``count`` samples per world."""
        size = query.noisy.shape[-1]
        noise = query.sigma_column() * query.context.noise.normal(count, size)
        parts = []
        blocks = query.context.layout.blocks
        for jacobian, block in zip(factor_jacobians(query), blocks, strict=True):
            root = symmetric_root(jacobian.double(), self.cap).to(noise.dtype)
            parts.append(noise[..., block] @ root)
        return PosteriorSamples(query.denoised.unsqueeze(1) + torch.cat(parts, -1))


@attrs.frozen(eq=False)
class DataCovariancePosterior(PosteriorApproximation):
    """N(E[a | a_t], (Σ0⁻¹ + t⁻²I)⁻¹), exact for Gaussian data with covariance Σ0.

    Unless it is given, Σ0 is estimated for each factor and world from base samples, once per plan:
    that takes ``steps`` evaluations of the unguided denoiser on ``estimate_from`` samples and no
    evaluation of the cost. With several modes Σ0 holds the spread between them, too.

    Attributes:
        covariance: Σ0 of normalised flat joint chunks, (D, D), or None to estimate it. Its
            blocks that couple factors are not used.
        estimate_from: how many base samples Σ0 is estimated from.
        steps: the denoising steps of these samples.
        sampler: takes these steps.
        start: the noise level at which these samples start; None for the plan's highest.
    """

    covariance: Tensor | None = None
    estimate_from: int = attrs.field(default=SAMPLES, validator=attrs.validators.ge(2))
    steps: int = attrs.field(default=STEPS, validator=attrs.validators.ge(1))
    sampler: Integrator = ANCESTRAL
    start: float | None = None

    def draw(self, query: PosteriorQuery, count: int) -> PosteriorSamples:
        """Draw ``count`` samples per world."""
        size = query.noisy.shape[-1]
        noise = query.context.noise.normal(count, size)
        variance = query.sigma.double().reshape(-1, 1).square()
        parts = []
        blocks = query.context.layout.blocks
        for block, (values, vectors) in zip(blocks, self._spectra(query), strict=True):
            # v t²/(v + t²) for each eigenvalue v of Σ0: fine where v = 0.
            root = (values * variance / (values + variance)).sqrt().unsqueeze(-2)
            turned = ((vectors * root) @ vectors.mT).to(noise.dtype)
            parts.append(noise[..., block] @ turned)
        return PosteriorSamples(query.denoised.unsqueeze(1) + torch.cat(parts, -1))

    def _spectra(self, query: PosteriorQuery) -> list[tuple[Tensor, Tensor]]:
        """Eigenvalues (B or 1, n) and eigenvectors of Σ0, a pair for each factor."""
        cache, key = query.context.cache, ("data-covariance", id(self))
        if key not in cache:
            cache[key] = self._make_spectra(query)
        spectra: list[tuple[Tensor, Tensor]] = cache[key]
        return spectra

    def _make_spectra(self, query: PosteriorQuery) -> list[tuple[Tensor, Tensor]]:
        context, size = query.context, query.noisy.shape[-1]
        blocks = context.layout.blocks
        if self.covariance is not None:
            if self.covariance.shape != (size, size):
                raise SpecificationError(
                    f"the data covariance has the shape {tuple(self.covariance.shape)}; the joint "
                    f"chunk needs ({size}, {size})"
                )
            given = self.covariance.double().to(query.noisy.device)
            return [_spectrum(given[None, block, block]) for block in blocks]
        samples = base_samples(
            query.denoiser, self.estimate_from, self.steps, context, self.sampler, self.start
        )
        centred = samples.double() - samples.double().mean(1, keepdim=True)
        share = 1 / (self.estimate_from - 1)
        return [_spectrum(centred[..., block].mT @ centred[..., block] * share) for block in blocks]


def _spectrum(covariance: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(0.5 * (covariance + covariance.mT))
    return values.clamp_min(0), vectors
