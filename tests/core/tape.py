"""A CUDA graph's rules without CUDA: operations are recorded, and replayed in the same memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from codi_core.execution.graphs import Replay
from codi_core.planning import Plan
from codi_core.testing import device_waits


def tape(run: Callable[[], Plan]) -> tuple[Plan, Replay]:
    """Record a run on the second device, as ``cuda_graph`` does on a GPU.

    Raises:
        RuntimeError: the host would wait for the device.
    """
    run()
    with _Tape() as made, device_waits() as waits:
        plan = run()
    if waits:
        raise RuntimeError(f"the host waits: {waits[0]}")
    return plan, made.replay


class _Tape(TorchDispatchMode):
    """The operations of a run, with the tensors that they read and made."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        with self:
            whole = func.decompose(*args, **kwargs)
        if whole is not NotImplemented:
            return whole
        result = func(*args, **kwargs)
        if not any(out.alias_info and not out.alias_info.is_write for out in func._schema.returns):
            self.operations.append((func, args, kwargs, result))  # views show what they view
        return result

    @torch.inference_mode()  # some of the tensors were made in it
    def replay(self) -> None:
        """Do the same operations again, on what their tensors hold now."""
        for func, args, kwargs, result in self.operations:
            again = func(*args, **kwargs)
            if not func._schema.is_mutable:
                for kept, value in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(kept, Tensor):
                        kept.copy_(value)
