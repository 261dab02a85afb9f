"""Where the host waits for a device: each such place ends what a GPU and its host do side by side.

On CUDA an operation is queued, and Python goes on. It waits where it reads a value, where the
values decide how large a result is, and at a copy from or to the host's memory.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from codi_core.testing.devices import INDEXED, SECOND

READING = frozenset(
    f"aten::{name}"
    for name in (
        "_linalg_check_errors",
        "_local_scalar_dense",
        "_unique2",
        "bincount",
        "equal",
        "masked_select",
        "multinomial",
        "nonzero",
        "repeat_interleave",
        "unique_consecutive",
        "unique_dim",
    )
)
"""Operations that wait for what they read."""


@contextmanager
def device_waits() -> Iterator[list[str]]:
    """Inside, the list that is given grows by each wait of the host for the second device.

    To be used within :func:`~codi_core.testing.second_device`. An entry is the operation with the
    file and line that asked for it.
    """
    waits: list[str] = []
    with _Watching(waits):
        yield waits


class _Watching(TorchDispatchMode):
    """Sees operations before the second device does.

    Args:
        waits: gets those that wait.
    """

    def __init__(self, waits: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = waits

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        with self:  # in inference mode, operations that consist of others come whole
            whole = func.decompose(*args, **kwargs)
        if whole is not NotImplemented:
            return whole
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        result = func(*args, **kwargs)
        if _waits(func._schema.name, tensors, result):
            self.waits.append(f"{func._schema.name} at {_place()}")
        return result


def _waits(name: str, tensors: list[Tensor], result: Any) -> bool:
    there = [_is_second(tensor) for tensor in tensors]
    if name in READING:
        return any(there)
    if name in INDEXED and any(there):
        # Masks become lists of indices; indices of the host are copied.
        return any(
            tensor.dtype == torch.bool or not second
            for tensor, second in zip(tensors[1:], there[1:], strict=True)
            if tensor.ndim and tensor.dtype in (torch.bool, torch.long, torch.int)
        )
    if name == "aten::copy_":
        return there[0] != there[1]
    results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    return (
        bool(tensors and results)
        and name == "aten::_to_copy"
        and there[0] != _is_second(results[0])
    )


def _is_second(tensor: Tensor) -> bool:
    return tensor.device == SECOND


def _place() -> str:
    """The innermost line that is neither PyTorch's nor of what imitates the device."""
    own = (str(Path(torch.__file__).parent), __file__, str(Path(__file__).with_name("devices.py")))
    frames = [frame for frame in traceback.extract_stack() if not frame.filename.startswith(own)]
    return f"{frames[-1].filename}:{frames[-1].lineno}"
