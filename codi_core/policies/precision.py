"""How precisely base policies are evaluated: products and convolutions may be rounded more.

Everything else, and what a denoiser returns, keeps its type.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from codi_core.planning import Denoiser, prepare


def evaluated_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """A context in which products and convolutions have a precision.

    Args:
        precision: one of :data:`codi_core.resources.PRECISIONS`.
        device: where they are made.
    """
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return _in_tf32() if precision == "tf32" else nullcontext()


class RoundedDenoiser:
    """A denoiser that is evaluated in another precision than that of what it denoises.

    Args:
        denoiser: the denoiser.
        precision: see :func:`evaluated_in`.
    """

    def __init__(self, denoiser: Denoiser, precision: str) -> None:
        self._denoiser = denoiser
        self._precision = precision

    def prepare(self, levels: Tensor) -> None:
        """Tell the denoiser which noise levels (L,) will come, if it has a method for that."""
        prepare(self._denoiser, levels)

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """D(a_t, sigma), from (B, ..., D) to (B, ..., D), in the type of a_t."""
        with evaluated_in(self._precision, noisy.device):
            denoised = self._denoiser(noisy, sigma)
        return denoised.to(noisy.dtype)


@contextmanager
def _in_tf32() -> Iterator[None]:
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = True
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
