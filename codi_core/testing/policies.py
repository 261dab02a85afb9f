"""Base policies with exact denoisers."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.execution.devices import to_device
from codi_core.planning import Denoiser, Observation
from codi_core.policies import (
    ActionSpec,
    BasePolicy,
    Factor,
    Normaliser,
    ObservationMap,
    PolicySpec,
    ProductPolicy,
)
from codi_core.testing.mixtures import GaussianMixture, joint_mixture

OBSERVED = "observed"
"""The name of the observation that conditions a :class:`MixturePolicy`."""


class MixturePolicy(BasePolicy):
    """A Gaussian mixture over chunks as a base policy: its denoiser is exact at every level.

    Args:
        mixture: over normalised flat chunks, D = K·A.
        action: the meaning of its chunks; its size must be the mixture's.
        normaliser: between physical actions and the mixture's units; the identity by default.
        gain: (D, O) or None. With a gain, the mixture's means move by gain · o, where o is the
            latest of the observation ``observed``, (B, H, O).

    Raises:
        SpecificationError: the mixture and the action specification differ in size.
    """

    def __init__(
        self,
        mixture: GaussianMixture,
        action: ActionSpec,
        normaliser: Normaliser | None = None,
        gain: Tensor | None = None,
    ) -> None:
        if mixture.size != action.size:
            raise SpecificationError(
                f"the mixture has {mixture.size} dimensions, the chunk {action.size}"
            )
        observation = {} if gain is None else {OBSERVED: (gain.shape[1],)}
        self.spec = PolicySpec(action, observation, sigma_range=(1e-6, 1e6))
        self.normaliser = normaliser or Normaliser.identity(action.dimension)
        self.mixture = mixture
        self.gain = gain

    def to(self, device: torch.device | str) -> MixturePolicy:
        """The same policy on another device."""
        action, normaliser = self.spec.action, copy.deepcopy(self.normaliser).to(device)
        gain = None if self.gain is None else self.gain.to(device)
        return MixturePolicy(to_device(self.mixture, device), action, normaliser, gain)

    def denoiser(self, observation: Observation) -> Denoiser:
        """The exact E[a | a_t, s] on normalised flat chunks (B, …, D)."""
        mixture = self.conditioned(observation)

        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            return mixture.denoise(noisy, sigma)

        return denoise

    def conditioned(self, observation: Observation) -> GaussianMixture:
        """p(a | s): one mixture per world if the policy reads the observation, else one for all."""
        if self.gain is None:
            return self.mixture
        latest = observation[OBSERVED][:, -1].to(self.gain)
        return self.mixture.shifted(latest @ self.gain.mT)


def blind(observation: Observation) -> Observation:
    """The observation map of policies that read nothing."""
    return {}


def agent_view(agent: int) -> ObservationMap:
    """The observation map that reads one agent's row of a joint ``observed``, (B, H, N, O)."""

    def observe(observation: Observation) -> Observation:
        return {OBSERVED: observation[OBSERVED][:, :, agent]}

    return observe


def mixture_product(policies: Sequence[MixturePolicy]) -> ProductPolicy:
    """The product policy of one mixture per agent (Eq. 13), each with a view of its own."""
    return ProductPolicy(
        [
            Factor(policy, (agent,), blind if policy.gain is None else agent_view(agent))
            for agent, policy in enumerate(policies)
        ]
    )


def conditioned_parts(
    product: ProductPolicy, observation: Observation
) -> tuple[GaussianMixture, ...]:
    """p^(i)(a^(i) | s) of each factor of a product of mixture policies.

    Raises:
        SpecificationError: a factor's policy is no :class:`MixturePolicy`.
    """
    parts = []
    for factor in product.factors:
        if not isinstance(factor.policy, MixturePolicy):
            raise SpecificationError(
                f"the exact distribution of {type(factor.policy).__name__} is not known: "
                "use MixturePolicy"
            )
        parts.append(factor.policy.conditioned(factor.observe(observation)))
    return tuple(parts)


def conditioned_product(product: ProductPolicy, observation: Observation) -> GaussianMixture:
    """p^{1:N}(a | s) as one mixture over flat joint chunks, all mode combinations enumerated."""
    return joint_mixture(conditioned_parts(product, observation))


def action_spec(horizon: int, dimension: int) -> ActionSpec:
    """An action specification for chunks without a physical meaning."""
    return ActionSpec(tuple(f"a{index}" for index in range(dimension)), horizon)


def single_gaussian(
    mean: Tensor, covariance: Tensor, horizon: int = 1, normaliser: Normaliser | None = None
) -> MixturePolicy:
    """A Gaussian base policy: mean (D,), covariance (D, D) of normalised flat chunks."""
    mixture = GaussianMixture.gaussian(torch.as_tensor(mean), covariance)
    return MixturePolicy(mixture, action_spec(horizon, mixture.size // horizon), normaliser)
