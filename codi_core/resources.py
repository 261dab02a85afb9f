"""What a part may use of the machine it is made on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import attrs
from attrs import validators

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def _float32() -> torch.dtype:
    import torch  # commands that only print help do without

    return torch.float32


def can_branch_on(tensor: Tensor) -> bool:
    """Whether a branch on the tensor's values costs nothing, as on the CPU.

    On a GPU it would wait for all that is queued there, and tensors on ``meta`` have no values. So
    shortcuts that some values allow are taken on the CPU alone; elsewhere everything is computed,
    with the same result.
    """
    return tensor.device.type == "cpu"


@cache
def indices(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """Numbers of the program as a tensor on a device, (n,) int64.

    They are copied there once: each copy would wait for all that is queued there.
    """
    import torch

    with torch.inference_mode(False):  # it outlives the plan that asks first
        return torch.tensor(numbers, device=device)


PRECISIONS = ("float32", "tf32", "bfloat16")
"""Of base policies' matrix products and convolutions: as PyTorch makes them, or of factors that are
rounded to 10 bits (on CUDA) or 7 bits behind the point."""


@attrs.frozen
class Resources:
    """Where a part works, and with how much of the machine.

    Attributes:
        device: where its tensors are: "cpu", "cuda:0", …
        dtype: the type of its floating-point numbers.
        threads: how many threads a part that simulates may use. The threads of tensor operations
            belong to the process, not to a part.
        seed: for parts that draw at random when they are made; what they draw in an episode
            derives from the episode's key.
    """

    device: str = "cpu"
    dtype: torch.dtype = attrs.field(factory=_float32)
    threads: int = attrs.field(default=1, validator=validators.ge(1))
    seed: int = attrs.field(default=0, validator=validators.ge(0))
