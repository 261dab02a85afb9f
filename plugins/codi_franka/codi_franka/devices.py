"""What may depend on values, and where."""

from __future__ import annotations

from torch import Tensor


def can_branch_on(tensor: Tensor) -> bool:
    """Whether a branch on the tensor's values costs nothing, as on the CPU.

    On a GPU it would wait for all that is queued there, and tensors on ``meta`` have no values. So
    shortcuts that some values allow are taken on the CPU alone; elsewhere everything is computed,
    with the same result.
    """
    return tensor.device.type == "cpu"
