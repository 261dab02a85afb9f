"""A base policy with a learned denoiser, preconditioned as in Karras et al. (2022)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import starmap
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from codi_core.defaults import NOISE_MEAN, NOISE_STD, SIGMA_DATA
from codi_core.errors import SpecificationError
from codi_core.planning import Denoiser, Observation
from codi_core.policies.base import BasePolicy, Batch, PolicySpec, as_rows
from codi_core.policies.networks import DenoisingNetwork, build_network
from codi_core.policies.normalisation import Normaliser


class Preconditioning(NamedTuple):
    """The four factors of D(x; σ) = c_skip x + c_out F(c_in x; c_noise), shaped like sigma."""

    skip: Tensor
    out: Tensor
    scale_in: Tensor
    noise: Tensor


def precondition(sigma: Tensor, sigma_data: float) -> Preconditioning:
    """The factors of Karras et al. (2022), Table 1, for noise levels of any shape."""
    norm = torch.sqrt(sigma**2 + sigma_data**2)
    # The floor keeps sigma = 0 finite; there D(x) = x, whatever F is.
    noise = sigma.clamp_min(1e-8).log() / 4
    return Preconditioning(sigma_data**2 / norm**2, sigma * sigma_data / norm, 1 / norm, noise)


class DiffusionPolicy(nn.Module, BasePolicy):
    """A diffusion policy of one agent, or of several, learned from demonstrations.

    Its normalisation is part of its state dict.

    Args:
        spec: what it reads and writes.
        network: F_theta, for the horizon, actions and observations of ``spec``.
        normaliser: of single actions (A,).
        observation_normalisers: one for each observation, of its flattened value.
        sigma_data: standard deviation of the normalised actions.
        noise_mean: mean of ln sigma in training.
        noise_std: standard deviation of ln sigma in training.

    Attributes:
        digest: sha256 of the checkpoint that it was read from; None for one that was not.

    Raises:
        SpecificationError: the normalisers do not fit ``spec``, or no distribution has these
            means and standard deviations.
    """

    digest: str | None = None

    def __init__(
        self,
        spec: PolicySpec,
        network: DenoisingNetwork,
        normaliser: Normaliser,
        observation_normalisers: Mapping[str, Normaliser],
        *,
        sigma_data: float = SIGMA_DATA,
        noise_mean: float = NOISE_MEAN,
        noise_std: float = NOISE_STD,
    ) -> None:
        super().__init__()
        _check_normalisers(spec, normaliser, observation_normalisers)
        _check_distributions(sigma_data, noise_mean, noise_std)
        self.spec = spec
        self.network = network
        self.normaliser = normaliser
        # A list in the order of the specification: module names may not contain dots.
        self.observation_normalisers = nn.ModuleList(
            observation_normalisers[name] for name in spec.observation
        )
        self.sigma_data = sigma_data
        self.noise_mean = noise_mean
        self.noise_std = noise_std

    @classmethod
    def build(
        cls,
        spec: PolicySpec,
        kind: str,
        normaliser: Normaliser | None = None,
        observation_normalisers: Mapping[str, Normaliser] | None = None,
        *,
        sigma_data: float = SIGMA_DATA,
        noise_mean: float = NOISE_MEAN,
        noise_std: float = NOISE_STD,
        **options: Any,
    ) -> DiffusionPolicy:
        """Make an untrained policy with a network by name; normalisers default to identities.

        Raises:
            SpecificationError: the network, its options or the normalisers do not fit.
        """
        return cls(
            spec,
            build_network(kind, *network_sizes(spec), **options),
            normaliser or Normaliser.identity(spec.action.dimension),
            observation_normalisers
            or {name: Normaliser.identity(n) for name, n in observation_sizes(spec).items()},
            sigma_data=sigma_data,
            noise_mean=noise_mean,
            noise_std=noise_std,
        )

    def condition(self, observation: Observation) -> Tensor:
        """Normalise and flatten observations (B, H, ...) in physical units to (B, C).

        Raises:
            SpecificationError: an observation is missing or has another shape.
        """
        parts = []
        pairs = zip(self.spec.observation.items(), self.observation_normalisers, strict=True)
        for (name, shape), module in pairs:
            normaliser = cast(Normaliser, module)
            value = observation.get(name)
            if value is None or value.shape[1:] != (self.spec.history, *shape):
                raise SpecificationError(
                    f"the policy reads observation '{name}' of shape "
                    f"(worlds, {', '.join(map(str, (self.spec.history, *shape)))}); got "
                    + (f"{sorted(observation)}" if value is None else f"{tuple(value.shape)}")
                )
            parts.append(normaliser.encode(value.flatten(2)).flatten(1))
        return torch.cat(parts, -1)

    def denoiser(self, observation: Observation) -> Denoiser:
        """Encode the observation once and return the denoiser for it (see the base class)."""
        return _PolicyDenoiser(self, self.network.encode(self.condition(observation)))


class _PolicyDenoiser:
    """The denoiser of a policy for one observation, which may be told its noise levels before.

    Args:
        policy: the policy.
        embedding: of the observation, (B, E).
    """

    def __init__(self, policy: DiffusionPolicy, embedding: Tensor) -> None:
        self.policy = policy
        self.embedding = embedding
        self._levels: Tensor | None = None
        self._prepared: dict[float, tuple[Preconditioning, Tensor]] = {}

    def prepare(self, levels: Tensor) -> None:
        """Note that the noise levels (L,) may come, in any order."""
        if levels.device.type == "cpu":  # elsewhere, looking a level up would wait for the device
            self._levels = levels

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """D(a_t, sigma), from (B, ..., D) and () or (B,) to (B, ..., D)."""
        rows, levels, spread = as_rows(noisy, sigma, self.embedding)
        known = None
        if not sigma.ndim:
            if noisy.ndim > 2:
                known = self._shared(levels, noisy.shape[1:-1].numel())
            elif self._levels is not None:
                known = self._at(float(sigma))
        return self._denoise(rows, levels, spread, known).view(noisy.shape)

    def _shared(self, level: Tensor, copies: int) -> tuple[Preconditioning, Tensor] | None:
        """What depends on a level (1,) and the observation, made once for a world's samples."""
        factors = precondition(level, self.policy.sigma_data)
        modulation = self.policy.network.modulate(factors.noise, self.embedding)
        if modulation is None:
            return None
        return factors, modulation[0].repeat_interleave(copies, 0)

    def _at(self, sigma: float) -> tuple[Preconditioning, Tensor] | None:
        """What depends on a level and the observation alone, made for all levels at first use.

        A sampler that never comes to the levels that it was announced with costs nothing.
        """
        if not self._prepared and self._levels is not None:
            factors = precondition(self._levels, self.policy.sigma_data)
            modulation = self.policy.network.modulate(factors.noise, self.embedding)
            if modulation is None:
                self._levels = None
            else:
                columns = (torch.split(factor, 1) for factor in factors)
                each = starmap(Preconditioning, zip(*columns, strict=True))
                known = zip(each, modulation, strict=True)
                self._prepared = dict(zip(self._levels.tolist(), known, strict=True))
        return self._prepared.get(sigma)

    def _denoise(
        self,
        noisy: Tensor,
        sigma: Tensor,
        embedding: Tensor,
        known: tuple[Preconditioning, Tensor] | None,
    ) -> Tensor:
        """D on rows: (R, D), (R,) or (1,), (R, E) -> (R, D)."""
        policy = self.policy
        factors, modulation = known or (precondition(sigma, policy.sigma_data), None)
        chunk = (-1, policy.spec.action.horizon, policy.spec.action.dimension)
        scaled = (noisy * factors.scale_in[:, None]).reshape(chunk)
        raw: Tensor = policy.network(scaled, factors.noise, embedding, modulation).flatten(1)
        return factors.skip[:, None] * noisy + factors.out[:, None] * raw


def denoising_loss(
    policy: DiffusionPolicy, batch: Batch, generator: torch.Generator | None = None
) -> Tensor:
    """The training loss: Eq. 4 with the weighting and noise levels of Karras et al. (2022).

    With D = x_t + t² s, the norm in Eq. 4 is ‖D(x + tε; t) - x‖. The weight
    (t² + σ_d²)/(t σ_d)² turns it into the error of F against a target of unit variance,
    (t x - σ_d² ε) / (σ_d √(t² + σ_d²)), which is what is computed: no rounding error is
    multiplied with 1/t². Noise levels are stratified over the batch, so that the loss depends
    less on which levels a batch happened to get.

    Args:
        policy: the policy that is trained.
        batch: n windows.
        generator: the source of noise levels and noise.

    Returns:
        The weighted squared error, averaged over windows and dimensions, ().
    """
    clean = policy.normaliser.encode(batch.actions)  # (n, K, A)
    sigma = training_levels(len(batch), policy.noise_mean, policy.noise_std, generator, clean)
    noise = torch.empty_like(clean).normal_(generator=generator)
    spread = policy.sigma_data
    factors = precondition(sigma, spread)
    column = sigma[:, None, None]
    scaled = (clean + column * noise) * factors.scale_in[:, None, None]
    embedding = policy.network.encode(policy.condition(batch.observation))
    raw: Tensor = policy.network(scaled, factors.noise, embedding)
    target = (column * clean - spread**2 * noise) * (factors.scale_in / spread)[:, None, None]
    return (raw - target).square().mean()


def training_levels(
    count: int,
    mean: float,
    std: float,
    generator: torch.Generator | None,
    like: Tensor,
) -> Tensor:
    """Noise levels with ln sigma ~ N(mean, std²), one from each of ``count`` equal quantiles."""
    uniform = torch.empty(count, device=like.device, dtype=torch.float64)
    uniform.uniform_(generator=generator)
    # Shuffled, so that a level says nothing about a window's place in its batch.
    ranks = torch.randperm(count, device=like.device, generator=generator)
    quantiles = ((ranks + uniform) / count).clamp(1e-12, 1 - 1e-12)
    return torch.exp(mean + std * torch.special.ndtri(quantiles)).to(like.dtype)


def observation_sizes(spec: PolicySpec) -> dict[str, int]:
    """How many values each observation has at one instant."""
    return {name: int(torch.Size(shape).numel()) for name, shape in spec.observation.items()}


def network_sizes(spec: PolicySpec) -> tuple[int, int, int]:
    """A network's K and A, and how many values it is conditioned on: all of an observation."""
    read = spec.history * sum(observation_sizes(spec).values())
    return spec.action.horizon, spec.action.dimension, read


def _check_distributions(sigma_data: float, noise_mean: float, noise_std: float) -> None:
    values: dict[str, object] = {
        "sigma_data": sigma_data,
        "noise_mean": noise_mean,
        "noise_std": noise_std,
    }
    for name, value in values.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise SpecificationError(f"{name} must be a finite number, not {value!r}")
        if name != "noise_mean" and value <= 0:
            raise SpecificationError(f"{name} must be positive, not {value!r}")


def _check_normalisers(
    spec: PolicySpec, normaliser: Normaliser, others: Mapping[str, Normaliser]
) -> None:
    wanted = {"action": spec.action.dimension} | {
        f"observation '{name}'": size for name, size in observation_sizes(spec).items()
    }
    given = {"action": normaliser.mean.numel()} | {
        f"observation '{name}'": other.mean.numel() for name, other in others.items()
    }
    if wanted != given:
        raise SpecificationError(
            f"the normalisers do not fit the policy: it needs {wanted} values, they have {given}"
        )
