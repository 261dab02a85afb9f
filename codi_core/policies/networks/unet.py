"""The conditional one-dimensional U-Net of Chi et al. (2023), with FiLM of scale and shift."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from codi_core.defaults import UNET_BLOCKS, UNET_WIDTHS
from codi_core.errors import SpecificationError
from codi_core.policies.networks.activation import mish
from codi_core.policies.networks.embedding import NoiseEmbedding
from codi_core.policies.networks.film import FilmNetwork
from codi_core.policies.networks.products import RowLinear, product

_FEW_ROWS = 16
"""Up to this many rows, a product is no slower than a convolution on a CPU.

oneDNN reorders the weights at each call, which for few rows costs more than the sums. The two add
up in different orders; all layers change over at the same number of rows, so that below and above
it a row is rounded the same whatever rows are beside it.
"""


_AT_ONCE = 256
"""So many rows are evaluated at once on a CPU: what more leave behind between layers does not fit
its caches, and takes over half as much time again for each row."""


def _few(x: Tensor) -> bool:
    return x.shape[0] <= _FEW_ROWS and x.device.type == "cpu"


class _Convolution(nn.Conv1d):
    """A convolution of odd width along time: (R, C_in, K) -> (R, C_out, K / stride)."""

    def __init__(self, inputs: int, outputs: int, width: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, width, stride, padding=width // 2)

    def forward(self, x: Tensor) -> Tensor:
        if not _few(x):
            return super().forward(x)
        (width,), (step,) = self.kernel_size, self.stride
        if width > 1:
            reach = width // 2
            x = functional.pad(x, (reach, reach)).unfold(2, width, step)  # (R, C_in, K, width)
            rows, _, steps, _ = x.shape
            flat = x.permute(0, 2, 1, 3).reshape(rows, steps, -1)
        else:
            flat = x.transpose(1, 2)
        return product(flat, self.weight.flatten(1), self.bias).transpose(1, 2)


class _Doubling(nn.ConvTranspose1d):
    """A transposed convolution of width 4 and stride 2: (R, C, K) -> (R, C, 2K)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _few(x):
            return super().forward(x, output_size)
        rows, channels, steps = x.shape
        taps = product(x.transpose(1, 2), self.weight.flatten(1).mT)  # (R, K, 4 C)
        taps = taps.view(rows, steps, channels, 4)
        taps = functional.pad(taps, (0, 0, 0, 0, 1, 1))  # (R, K + 2, C, 4)
        now, before, after = taps[:, 1:-1], taps[:, :-2], taps[:, 2:]
        pairs = torch.stack([now[..., 1] + before[..., 3], now[..., 2] + after[..., 0]], -1)
        assert self.bias is not None
        return pairs.transpose(1, 2).flatten(2) + self.bias.unsqueeze(-1)


class _ConvolutionBlock(nn.Module):
    """Convolution along time, group norm, Mish: (R, C_in, K) -> (R, C_out, K)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.convolution = _Convolution(inputs, outputs, kernel)
        self.norm = nn.GroupNorm(groups, outputs)

    def forward(self, x: Tensor) -> Tensor:
        norm, x = self.norm, self.convolution(x)
        # Straight to the operator: for few rows, two layers of calls take as long as it does.
        return mish(torch.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps))


class _ResidualBlock(nn.Module):
    """Two convolution blocks with FiLM between them, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.first = _ConvolutionBlock(inputs, outputs, kernel, groups)
        self.second = _ConvolutionBlock(outputs, outputs, kernel, groups)
        self.outputs = outputs
        self.shortcut = _Convolution(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        hidden = torch.addcmul(shift, self.first(x), scale)
        out: Tensor = self.second(hidden) + self.shortcut(x)
        return out


class UNet(FilmNetwork):
    """Convolutions along the chunk, halving its length once for each further width.

    One linear map makes the FiLM parameters of all blocks at once, from the sum of an
    observation embedding and a noise embedding: a call costs one small product instead of one
    for each block.

    Args:
        horizon: K, divisible by two once for each width after the first.
        action_size: A, values in one action.
        conditioning_size: C, values in a flat observation.
        widths: channels at each resolution.
        blocks: residual blocks at each resolution, on the way down and on the way up. Chi et al.
            have two, which takes about half as much time again.
        kernel: the convolutions' width in time steps, odd.
        groups: groups of the group norms; they divide each width.
        embedding_size: E, the size of the embedding that conditions the blocks.

    Raises:
        SpecificationError: the groups do not divide a width, or the horizon cannot be halved.
    """

    kind = "unet"
    last_layer = "out"

    def __init__(
        self,
        horizon: int,
        action_size: int,
        conditioning_size: int,
        widths: Sequence[int] = UNET_WIDTHS,
        blocks: int = UNET_BLOCKS,
        kernel: int = 5,
        groups: int = 8,
        embedding_size: int = 128,
    ) -> None:
        super().__init__()
        if not widths or any(width % groups for width in widths) or kernel % 2 == 0:
            raise SpecificationError(
                f"a U-Net needs an odd kernel and widths that {groups} groups divide; "
                f"got kernel {kernel} and widths {tuple(widths)}"
            )
        self.levels = len(widths) - 1
        if horizon % 2**self.levels:
            raise SpecificationError(
                f"a U-Net of {len(widths)} widths halves the chunk {self.levels} times: a horizon "
                f"of {horizon} is not divisible by {2**self.levels}"
            )
        self.options = {
            "widths": list(widths),
            "blocks": blocks,
            "kernel": kernel,
            "groups": groups,
            "embedding_size": embedding_size,
        }
        self.noise = nn.Sequential(
            NoiseEmbedding(embedding_size), RowLinear(embedding_size, embedding_size)
        )
        self.observation = nn.Sequential(
            RowLinear(conditioning_size, 2 * embedding_size),
            nn.Mish(),
            RowLinear(2 * embedding_size, embedding_size),
        )
        self._build(action_size, tuple(widths), blocks, kernel, groups)
        self._film_sizes = [
            block.outputs
            for block in self.modules()
            if isinstance(block, _ResidualBlock)
            for _ in range(2)
        ]
        self.film = RowLinear(embedding_size, sum(self._film_sizes))
        self._start_as_identity()

    def _build(
        self, action_size: int, widths: tuple[int, ...], blocks: int, kernel: int, groups: int
    ) -> None:
        def stage(inputs: int, outputs: int, count: int = blocks) -> nn.ModuleList:
            sizes = (inputs, *[outputs] * count)
            return nn.ModuleList(
                _ResidualBlock(before, after, kernel, groups) for before, after in pairwise(sizes)
            )

        # Made in the order in which they are applied, which is that of the FiLM parameters.
        self.down = nn.ModuleList(
            stage(*pair) for pair in zip((action_size, *widths), widths, strict=False)
        )
        self.middle = stage(widths[-1], widths[-1], 2)
        falling = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(stage(2 * inputs, outputs) for inputs, outputs in falling)
        self.shrink = nn.ModuleList(
            _Convolution(width, width, 3, stride=2) for width in widths[:-1]
        )
        self.grow = nn.ModuleList(_Doubling(width) for _, width in falling)
        self.last = _ConvolutionBlock(widths[0], widths[0], kernel, groups)
        self.out = _Convolution(widths[0], action_size, 1)

    def _start_as_identity(self) -> None:
        # FiLM starts with scale 1 and shift 0, so that conditioning is learnt, not unlearnt.
        with torch.no_grad():
            self.film.weight.mul_(0.1)
            offsets = [
                torch.full((size,), float(index % 2 == 0))
                for index, size in enumerate(self._film_sizes)
            ]
            self.film.bias.copy_(torch.cat(offsets))

    def forward(
        self, noisy: Tensor, noise: Tensor, embedding: Tensor, modulation: Tensor | None = None
    ) -> Tensor:
        """F_theta on R rows: (R, K, A), (R,) or (1,), (R, E) -> (R, K, A)."""
        rows = noisy.shape[0]
        if rows <= _AT_ONCE or noisy.device.type != "cpu" or torch.is_grad_enabled():
            return self._evaluate(noisy, noise, embedding, modulation)
        # Parts of one size: few rows that are left over would be rounded in another way.
        count = -(-rows // _AT_ONCE)
        parts = zip(
            *(_parts(value, rows, count) for value in (noisy, noise, embedding, modulation)),
            strict=True,
        )
        return torch.cat([self._evaluate(*part) for part in parts])

    def _evaluate(
        self, noisy: Tensor, noise: Tensor, embedding: Tensor, modulation: Tensor | None
    ) -> Tensor:
        film = self.parameters_for(noise, embedding) if modulation is None else modulation
        film = film.unsqueeze(-1)
        parameters = iter(torch.split(film, self._film_sizes, 1))

        def apply(stage: nn.Module, x: Tensor) -> Tensor:
            for block in stage.children():
                x = block(x, next(parameters), next(parameters))
            return x

        x, kept = noisy.transpose(1, 2), []
        for level, stage in enumerate(self.down):
            x = apply(stage, x)
            kept.append(x)
            x = self.shrink[level](x) if level < self.levels else x
        x = apply(self.middle, x)
        for stage, grow in zip(self.up, self.grow, strict=True):
            x = grow(apply(stage, torch.cat([x, kept.pop()], 1)))
        out: Tensor = self.out(self.last(x)).transpose(1, 2)
        return out


def _parts(value: Any, rows: int, count: int) -> Sequence[Any]:
    """What is there for each row in so many parts, and what all rows share as often."""
    if value is None or value.shape[0] != rows:
        return [value] * count
    return torch.tensor_split(value, count)
