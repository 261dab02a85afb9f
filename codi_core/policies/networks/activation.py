"""Mish (Misra, 2019), in fewer passes where no gradient is asked for."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 2**17
"""So many numbers are made at once: with what is made on the way they stay in a core's cache, and
the system is not asked for new memory again and again."""

ROWS = 64
"""Blocks have a multiple of that many rows. The last few numbers of a tensor, which don't fill a
processor's registers, may be rounded otherwise; so no block ends with such."""


def mish(x: Tensor) -> Tensor:
    """x tanh(ln(1 + exp x)), elementwise.

    With s = 1/(1 + exp -x) and u = s - s²/2, tanh(ln(1 + exp x)) = u/(1 - u): one exponential
    instead of three functions, and no difference of nearly equal numbers. On a CPU that takes less
    than half of the time of torch's own operator, whose result it equals within rounding. On other
    devices, and for gradients, torch's operator is one kernel.
    """
    if x.device.type != "cpu" or (torch.is_grad_enabled() and x.requires_grad):
        return functional.mish(x)
    if x.numel() <= BLOCK:
        return _mish(x)
    result, rows = torch.empty_like(x), max(1, BLOCK * len(x) // x.numel() // ROWS) * ROWS
    for block, place in zip(torch.split(x, rows), torch.split(result, rows), strict=True):
        place.copy_(_mish(block))
    return result


def _mish(x: Tensor) -> Tensor:
    """The same of few numbers."""
    s = torch.sigmoid(x)
    u = torch.addcmul(s, s, s, value=-0.5)  # in place, forward derivatives would be wrong
    return torch.div(u, _one(x.dtype) - u).mul_(x)


@cache
@torch.inference_mode(False)  # it outlives the plan that asks first
def _one(dtype: torch.dtype) -> Tensor:
    """A number of Python's would be made a tensor each time, which takes longer than the rest."""
    return torch.ones((), dtype=dtype)
