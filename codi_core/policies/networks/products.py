"""Matrix products that round each row the same, whatever rows are beside it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

LEAST_ROWS = 16
"""Below this many rows, the libraries of CPUs add up a row's products in an order that depends on
how many rows there are; from here on they don't."""

LEAST_ROWS_BY_COLUMN = 4
"""The same for weights that lie in memory column by column: 2 on Intel's processors, 4 on AMD's."""


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b of rows (..., C_in) with a weight (C_out, C_in), (..., C_out).

    On a CPU it adds rows of zeros where there are fewer than :data:`LEAST_ROWS`, and lays rows
    out in memory one after another: a view would be multiplied by another routine than a copy is.
    """
    return _with_rows(x.contiguous(), LEAST_ROWS, weight, bias)


class RowLinear(nn.Linear):
    """A linear map of rows (..., C_in) to (..., C_out).

    Its weight lies in memory column by column. From :data:`LEAST_ROWS_BY_COLUMN` rows on, the
    order of a row's products is then the same for any number of rows, and few rows take less time.

    Args:
        inputs: C_in.
        outputs: C_out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.weight = nn.Parameter(self.weight.detach().mT.contiguous().mT)

    def forward(self, x: Tensor) -> Tensor:
        """The rows' images."""
        return _with_rows(x, LEAST_ROWS_BY_COLUMN, self.weight, self.bias)


def _with_rows(x: Tensor, least: int, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b, on a CPU of at least so many rows."""
    count = x.shape[:-1].numel()
    if count >= least or x.device.type != "cpu":
        return functional.linear(x, weight, bias)
    filled = functional.pad(x.reshape(count, x.shape[-1]), (0, 0, 0, least - count))
    return functional.linear(filled, weight, bias)[:count].view(*x.shape[:-1], weight.shape[0])
