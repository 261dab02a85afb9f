"""Base policies, factors, and their product (Eq. 13)."""

from codi_core.policies.base import ActionSpec, BasePolicy, Batch, PolicySpec, as_rows
from codi_core.policies.chunk_sampler import ChunkSampler, ProductSampler
from codi_core.policies.diffusion import DiffusionPolicy, denoising_loss
from codi_core.policies.epsilon import EpsilonModel, EpsilonPolicy
from codi_core.policies.factor import Factor, ObservationMap
from codi_core.policies.normalisation import Normaliser
from codi_core.policies.product import ProductPolicy
from codi_core.policies.student import Student
from codi_core.policies.views import AgentView, RecordedView, observation_feature

__all__ = [
    "ActionSpec",
    "AgentView",
    "BasePolicy",
    "Batch",
    "ChunkSampler",
    "DiffusionPolicy",
    "EpsilonModel",
    "EpsilonPolicy",
    "Factor",
    "Normaliser",
    "ObservationMap",
    "PolicySpec",
    "ProductPolicy",
    "ProductSampler",
    "RecordedView",
    "Student",
    "as_rows",
    "denoising_loss",
    "observation_feature",
]
