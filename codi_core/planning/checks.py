"""What the parts of a plan return is looked at where it is received, and what they raise is named.

Types, shapes and devices are looked at: that costs nothing, and waits for no device. Values are
looked at only when a plan that was not finite is made again, to find where it began.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

import torch
from torch import Tensor

from codi_core.errors import (
    CodiError,
    NotFiniteError,
    PartError,
    SpecificationError,
    is_out_of_memory,
)
from codi_core.planning.context import Denoiser, prepare

_LOOKING: ContextVar[bool] = ContextVar("looking at values", default=False)


def name_of(part: object) -> str:
    """How messages call a part: its class, and the module that it comes from.

    A text is taken as it is.
    """
    if isinstance(part, str):
        return part
    kind = type(part)
    return f"{kind.__module__}.{kind.__name__}"


class Calling:
    """A context manager around the call of a part's method: what it raises names the part.

    Errors with a message for the user stay as they are, and so does a lack of memory.

    Args:
        part: the part, or how messages call it.
        method: what is called, such as ".draw()".
    """

    __slots__ = ("_method", "_part")

    def __init__(self, part: object, method: str) -> None:
        self._part, self._method = part, method

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Name the part.

        Raises:
            PartError: the body raised something else than an error for the user.
        """
        if not isinstance(error, (Exception, SystemExit)):
            return  # nothing, or an interruption
        if isinstance(error, CodiError) or is_out_of_memory(error):
            return
        raise PartError(
            f"{name_of(self._part)}{self._method} raised {type(error).__name__}: {error}"
        ) from error


def check_values(
    found: object,
    shape: Sequence[int],
    part: object,
    what: str,
    device: torch.device | None = None,
    finite: bool = True,
) -> None:
    """Check that a part returned floating-point numbers of a shape.

    Args:
        found: what it returned.
        shape: the shape that is wanted.
        part: the part, or how messages call it.
        what: what it returned, as the rest of a sentence that begins with the part.
        device: where the numbers must be; None for anywhere.
        finite: whether they must be finite, where that is looked at.

    Raises:
        SpecificationError: they are something else; the message names the part.
        NotFiniteError: they are not finite, and that is looked at.
    """
    if not isinstance(found, Tensor) or not found.is_floating_point():
        raise SpecificationError(
            f"{name_of(part)}{what} as {described(found)}; it must be a tensor of floating-point "
            f"numbers of the shape {tuple(shape)}"
        )
    if found.shape != shape:
        raise SpecificationError(
            f"{name_of(part)}{what} with the shape {tuple(found.shape)}; it must be {tuple(shape)}"
        )
    if device is not None and not _is_on(found.device, device):
        raise SpecificationError(
            f"{name_of(part)}{what} on the device {found.device}; it must be on {device}"
        )
    if finite:
        check_finite(found, part, what)


def _is_on(found: torch.device, wanted: torch.device) -> bool:
    """Whether two devices may be the same: "cuda" is any of that type."""
    if found == wanted:
        return True
    return found.type == wanted.type and None in (found.index, wanted.index)


@contextmanager
def looking_at_values() -> Iterator[None]:
    """Have all checks look at values, too; it takes time, and waits for devices."""
    token = _LOOKING.set(True)
    try:
        yield
    finally:
        _LOOKING.reset(token)


def check_finite(found: Tensor, part: object, what: str) -> None:
    """Check that numbers are finite, inside of :func:`looking_at_values`.

    Raises:
        NotFiniteError: they are not; the message names the part.
    """
    if _LOOKING.get() and not bool(torch.isfinite(found).all()):
        raise NotFiniteError(f"{name_of(part)}{what} with numbers that are not finite")


def check_kind(found: object, kind: type, part: object, method: str) -> None:
    """Check that a part's method returned an object of a class.

    Raises:
        SpecificationError: it returned something else; the message names the part.
    """
    if not isinstance(found, kind):
        raise SpecificationError(
            f"{name_of(part)}{method} returned {described(found)}; it must be a {kind.__name__}"
        )


class CheckedDenoiser:
    """A denoiser that keeps the shape of what it denoises, or says whose it is.

    Args:
        denoiser: what the part returned for a denoiser.
        part: the part.
        method: of the part, such as ".guide()".

    Raises:
        SpecificationError: it can't be called; or, when it is called, it returns something else
            than denoised chunks.
    """

    def __init__(self, denoiser: object, part: object, method: str) -> None:
        if not callable(denoiser):
            raise SpecificationError(
                f"{name_of(part)}{method} returned {described(denoiser)}; it must be a denoiser, "
                "a function of a_t and sigma"
            )
        self._denoiser: Denoiser = denoiser
        self._part = part

    def prepare(self, levels: Tensor) -> None:
        """Tell the denoiser which noise levels (L,) will come, if it has a method for that."""
        prepare(self._denoiser, levels)

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """D(a_t, sigma), from (B, ..., D) to (B, ..., D).

        Raises:
            PartError: the denoiser raised.
        """
        with Calling(self._part, "'s denoiser"):
            denoised = self._denoiser(noisy, sigma)
        what = "'s denoiser returned a chunk"
        check_values(denoised, noisy.shape, self._part, what, noisy.device)
        return denoised


def described(value: object) -> str:
    """What a value is, for messages: its class, or the type of its numbers and its shape."""
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} of the shape {tuple(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"an instance of {type(value).__name__}"
