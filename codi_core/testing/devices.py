"""A second device that only seems to be one: forgotten moves between devices fail without a GPU.

Its tensors have the device ``meta`` and, unlike PyTorch's own, values: they are tensors on the CPU
in a wrapper. Operations that on a GPU refuse tensors of two devices refuse them here as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from codi_core.errors import PartError
from codi_core.testing.requirement import ConformanceError, require

SECOND = torch.device("meta")
"""The second device's name: the only one that every build of PyTorch knows beside the CPU."""

_AUTOCAST = torch.autocast

INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
"""What takes indices on the CPU on a GPU, too."""


class DeviceError(ConformanceError):
    """Tensors of two devices met."""


@contextmanager
def second_device() -> Iterator[torch.device]:
    """Inside, there is a second device beside the CPU, and its name is given.

    ``with second_device() as device:`` then make and move everything to ``device`` as to a GPU.
    What forgets a tensor raises a :class:`DeviceError`, or what PyTorch raises for a GPU.
    """
    with (
        warnings.catch_warnings(),
        _Operations(),  # type: ignore[no-untyped-call]
        _Functions(),
        mock.patch.object(torch, "Generator", _Generator),
        mock.patch.object(torch, "autocast", _autocast),
        mock.patch("torch.optim.optimizer._get_fused_kernels_supported_devices", _fused),
    ):
        warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter")
        yield SECOND


def check_device(run: Callable[[str], Any]) -> None:
    """Check that something works on a device other than the CPU, and gives the same there.

    Args:
        run: uses a part on the device of the name that it is given, and returns a tensor or
            several. It is called with "cpu", and with a second device that has nothing in
            common with the CPU.

    Raises:
        DeviceError: tensors of the two devices met; the traceback shows where.
        SpecificationError: what a part of a plan returned is on the wrong device.
        ConformanceError: a result is on the wrong device, or differs.
    """
    expected = tree_leaves(run("cpu"))
    with second_device() as device:
        try:
            found = tree_leaves(run(str(device)))
        except PartError as error:
            if isinstance(error.__cause__, DeviceError):  # what met is what counts here
                raise error.__cause__ from None
            raise
        require(
            [type(value) for value in expected if not isinstance(value, Tensor)] == []
            and len(expected) == len(found),
            "run must return tensors, and as many on each device",
        )
        for one, other in zip(expected, found, strict=True):
            require(
                other.device == device,
                f"a result of shape {tuple(other.shape)} is on {other.device}, not on {device}: "
                "make it on the device of what it is made from",
            )
            require(
                torch.allclose(one, other.cpu(), rtol=1e-4, atol=1e-4, equal_nan=True),
                f"a result of shape {tuple(other.shape)} differs from the one on the CPU",
            )


class _Elsewhere(Tensor):
    """A tensor of the second device: a tensor of the CPU that other tensors of it do not meet."""

    inside: Tensor

    def __new__(cls, inside: Tensor) -> _Elsewhere:
        dense = inside.layout == torch.strided
        with torch.inference_mode(inside.is_inference()):
            made: _Elsewhere = Tensor._make_wrapper_subclass(
                cls,
                inside.shape,
                strides=inside.stride() if dense else None,
                storage_offset=inside.storage_offset() if dense else None,
                dtype=inside.dtype,
                layout=inside.layout,
                device=SECOND,
                requires_grad=inside.requires_grad,
            )
        made.inside = inside
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _operate(func, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{self.inside!r} on {SECOND}"


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation of PyTorch, also those that make a tensor from none."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _operate(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What must be caught before PyTorch looks at the device's name."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and device is not None:
            del kwargs["device"]
            return func(*args, **kwargs).to(device)
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            args = (args[0], _numbered(args[1]), *args[2:])
        if args and isinstance(args[0], _Elsewhere):
            if func is Tensor.new_tensor and device is None:
                kwargs.setdefault("dtype", args[0].dtype)
                return torch.tensor(*args[1:], **kwargs).to(SECOND)
            if func is Tensor.tolist:
                return args[0].cpu().tolist()
            if func in (Tensor.numpy, Tensor.__array__):
                raise DeviceError("NumPy reads the CPU's tensors only: call .cpu() first")
        return func(*args, **kwargs)


class _Generator(torch.Generator):
    """A generator for either device."""

    _place: torch.device

    def __new__(cls, device: torch.device | str = "cpu") -> _Generator:
        place = torch.device(device)
        made = super().__new__(cls, _inside(place))  # type: ignore[call-arg]
        made._place = place
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where it seems to be."""
        return self._place


def _autocast(device_type: str, *args: Any, **kwargs: Any) -> torch.autocast:
    """Autocasting for either device; the second one's operations keep their types."""
    return _AUTOCAST("cpu" if device_type == SECOND.type else device_type, *args, **kwargs)


def _fused() -> list[str]:
    """The devices that have optimisers of one kernel."""
    return ["cpu", SECOND.type]


def _operate(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU, and say where its result is."""
    name, leaves = func._schema.name, tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    here = any(isinstance(tensor, _Elsewhere) for tensor in tensors)
    _check_places(name, tensors)
    if name == "aten::_efficientzerotensor":
        func = torch.ops.aten.zeros.default  # it has no values that could be wrapped
    result = func(*tree_map(_inside, args), **tree_map(_inside, kwargs))
    if name == "aten::_local_scalar_dense":
        return result
    written = [value for value in (*args, *kwargs.values()) if _same(value, result)]
    if func._schema.is_mutable and written:
        return written[0]
    target = next((leaf for leaf in leaves if isinstance(leaf, torch.device)), None)
    elsewhere = here if target is None else target == SECOND
    if tensors and elsewhere != here:
        result = tree_map(_cloned, result)  # .to(device) alone would leave both with one memory
    return tree_map(_outside, result) if elsewhere else result


def _check_places(name: str, tensors: Sequence[Tensor]) -> None:
    """Check that an operation's tensors are on one device, where a GPU would want that."""
    # As on a GPU, a single number on the CPU may meet any tensor.
    others = [tensor for tensor in tensors if not isinstance(tensor, _Elsewhere) and tensor.ndim]
    if not others or not any(isinstance(tensor, _Elsewhere) for tensor in tensors):
        return
    if name == "aten::copy_" or (name in INDEXED and isinstance(tensors[0], _Elsewhere)):
        return
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in others)
    raise DeviceError(
        f"{name} mixes tensors of {SECOND} with tensors of the CPU, of shape {shapes}: make "
        "these with device=..., or move them with .to(device)"
    )


def _numbered(index: Any) -> Any:
    """Lists in an index as tensors of the CPU: PyTorch would make tensors without values."""
    if isinstance(index, list):
        return torch.tensor(index)
    return tuple(_numbered(part) for part in index) if isinstance(index, tuple) else index


def _same(value: Any, result: Any) -> bool:
    return isinstance(value, Tensor) and _inside(value) is result


def _cloned(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _outside(value: Any) -> Any:
    return _Elsewhere(value) if isinstance(value, Tensor) else value


def _inside(value: Any) -> Any:
    if isinstance(value, _Elsewhere):
        return value.inside
    second = isinstance(value, torch.device) and value == SECOND
    return torch.device("cpu") if second else value
