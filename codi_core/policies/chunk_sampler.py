"""What maps noise to action chunks in a fixed number of calls, without noise levels in between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning import Observation, PlanContext
from codi_core.planning.checks import Calling, check_values
from codi_core.policies.base import BasePolicy, PolicySpec
from codi_core.policies.normalisation import Normaliser
from codi_core.policies.product import Columns, ProductPolicy


class ChunkSampler(ABC):
    """Draws action chunks for an observation, from noise that it is given.

    It is no denoiser: it knows p(a | s), and nothing of the noisy chunks a_t in between. So it
    serves where samples of a base policy are wanted, and neither guidance nor a sampler can take
    it for the policy.

    Attributes:
        spec: what it reads and writes. Its range of noise levels is that of its teacher.
        normaliser: between physical actions (..., A) and the unit space of its chunks.
        noise_size: how many standard normal values a chunk takes.
        calls: how often a network is called for a chunk.
    """

    spec: PolicySpec
    normaliser: Normaliser
    noise_size: int
    calls: int

    @abstractmethod
    def sample(self, observation: Observation, noise: Tensor) -> Tensor:
        """Turn noise into chunks.

        Args:
            observation: named tensors (B, H, ...), in physical units.
            noise: independent standard normal values, (B, ..., noise_size).

        Returns:
            Normalised flat chunks, (B, ..., K·A).
        """


class ProductSampler:
    """Draws joint chunks from the product policy (Eq. 13), factor by factor.

    Args:
        product: whose factors' observations are read.
        students: what draws in place of each of ``product.policies``, in that order.

    Raises:
        SpecificationError: a student reads or writes something else than its policy.
    """

    def __init__(self, product: ProductPolicy, students: Sequence[ChunkSampler]) -> None:
        for policy, student in zip(product.policies, students, strict=True):
            _check_alike(policy, student)
        self.product = product
        self.students = tuple(students)
        self.calls = max(student.calls for student in self.students)
        self._noise = _noise_blocks(product, self.students)

    def draw(self, count: int, context: PlanContext) -> Tensor:
        """Independent joint chunks, (B, count, D).

        Args:
            count: how many a world.
            context: the plan; it has the observation and the noise.
        """
        noise = context.noise.normal(count, self._noise[-1].stop)
        views = self.product.views(context.observation)
        found = []
        for student, (members, view) in zip(self.students, views, strict=True):
            rows = Columns(self._noise, members).stacked(noise).flatten(0, 1)
            chunks = self._sampled(student, view, rows)
            found.append(torch.unflatten(chunks, 0, (len(members), -1)))
        return self.product.joined(found)

    def _sampled(self, student: ChunkSampler, view: Observation, noise: Tensor) -> Tensor:
        with Calling(student, ".sample()"), self.product.evaluated():
            chunks = student.sample(view, noise).to(noise.dtype)
        shape = (*noise.shape[:-1], student.spec.action.size)
        check_values(chunks, shape, student, ".sample() returned chunks", noise.device)
        return chunks


def _noise_blocks(product: ProductPolicy, students: Sequence[ChunkSampler]) -> tuple[slice, ...]:
    """The columns of each factor in the noise of a joint chunk."""
    sizes = {
        id(policy): student.noise_size
        for policy, student in zip(product.policies, students, strict=True)
    }
    widths = [sizes[id(factor.policy)] for factor in product.factors]
    return tuple(slice(end - n, end) for n, end in zip(widths, accumulate(widths), strict=True))


def _check_alike(policy: BasePolicy, student: ChunkSampler) -> None:
    """Check that a student's chunks and observations are those of a policy."""
    pairs = {
        "action": (student.spec.action, policy.spec.action),
        "observation": (dict(student.spec.observation), dict(policy.spec.observation)),
        "history": (student.spec.history, policy.spec.history),
    }
    for field, (mine, other) in pairs.items():
        if mine != other:
            raise SpecificationError(
                f"a student does not stand for its policy: {field} is {mine}, the policy's {other}"
            )
    for name in ("mean", "scale"):
        mine, other = (getattr(part.normaliser, name).cpu() for part in (student, policy))
        if not torch.equal(mine, other):
            raise SpecificationError(
                f"a student does not stand for its policy: its normaliser has another {name}"
            )
