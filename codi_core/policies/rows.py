"""From chunks with sample axes to the rows that networks work on."""

from __future__ import annotations

from torch import Tensor


def as_rows(noisy: Tensor, sigma: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Flatten worlds and samples into R rows, and give each row its world's embedding.

    Args:
        noisy: (B, ..., D).
        sigma: () or (B,).
        embedding: one row a world, (B, E).

    Returns:
        The chunks (R, D), the noise levels (R,), or (1,) if all rows share one, and the
        embeddings (R, E).
    """
    levels = sigma.reshape(-1)
    if noisy.ndim == 2:
        return noisy, levels, embedding
    samples = noisy.flatten(1, -2)
    copies = samples.shape[1]
    if len(levels) > 1:
        levels = levels.repeat_interleave(copies)
    return samples.flatten(0, 1), levels, embedding.repeat_interleave(copies, 0)
