"""What a part may use of the machine it is made on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from attrs import validators

if TYPE_CHECKING:
    import torch


def _float32() -> torch.dtype:
    import torch  # commands that only print help do without

    return torch.float32


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
