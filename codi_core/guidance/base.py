"""The interface of guidance: a denoiser in, a guided denoiser out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from codi_core.planning import Denoiser, Evaluate, PlanContext
from codi_core.planning.checks import Calling, CheckedDenoiser


class Guidance(ABC):
    """Turns a denoiser into a guided one, for one plan.

    Adding the guidance score g^J to a score (Eq. 12) is adding t² g^J to its denoiser. So
    guidance terms stack, and the identity is a guidance.
    """

    @abstractmethod
    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """The guided denoiser.

        Args:
            denoiser: E[a | a_t] of the distribution that is guided.
            evaluate: J of flat joint chunks (B, M, D) -> (B, M); NaN where it has no value. That
                of planners is a :class:`~codi_core.planning.LocalEvaluate`.
            context: the plan that is being made.
        """


class NoGuidance(Guidance):
    """Leaves the denoiser as it is: the product policy alone."""

    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """The same denoiser."""
        return denoiser


class Chain(Guidance):
    """Applies guidance terms one after another, the first innermost."""

    def __init__(self, terms: Sequence[Guidance]) -> None:
        self.terms = tuple(terms)

    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """The denoiser that all terms guided."""
        for term in self.terms:
            denoiser = guide_checked(term, denoiser, evaluate, context)
        return denoiser


def guide_checked(
    guidance: Guidance, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext
) -> Denoiser:
    """The denoiser that a guidance guides, which looks at its shapes: for planners.

    Raises:
        SpecificationError: it is no denoiser; or, when it is called, it returns something else
            than a chunk for each of its own.
        PartError: the guidance raised.
    """
    with Calling(guidance, ".guide()"):
        guided = guidance.guide(denoiser, evaluate, context)
    return guided if guided is denoiser else CheckedDenoiser(guided, guidance, ".guide()")
