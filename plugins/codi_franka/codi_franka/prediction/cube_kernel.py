"""The cube's path on a GPU in one kernel of Triton, which comes with PyTorch for CUDA.

The kinematic predictor computes the same with tensors, in rounds over all steps at once. On a GPU
these are hundreds of kernels, most of what a plan takes there. Here each thread follows one sample
from step to step. (Triton reads annotations: tensors, which are pointers there, have none.)
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from triton import language as tl

BLOCK = 128
"""Samples a program of the kernel."""


def cube_path(
    start: tuple[Tensor, Tensor, Tensor, Tensor],
    hands: Tensor,
    width: Tensor,
    size: float,
    near: tuple[float, float],
    fall: float,
) -> Tensor:
    """The cube's positions (B, 3, M, K) [m], world frame.

    Args:
        start: the TCPs' positions (B, N, 3) [m], which hands hold the cube (B, N), which grippers
            are narrower than it (B, N), and where it is (B, 3) [m].
        hands: TCP positions (B, N, 3, M, K) [m].
        width: of the grippers, (B, N, M, K) [m].
        size: the cube's edge [m].
        near: how far from the cube's centre a closing gripper grasps it, along each horizontal
            axis and vertically [m].
        fall: by which a cube that no hand holds falls in a step [m].
    """
    worlds, arms, _, samples, steps = hands.shape
    path = torch.empty(worlds, 3, samples, steps, dtype=hands.dtype, device=hands.device)
    grid = (triton.cdiv(worlds * samples, BLOCK),)
    _follow[grid](
        path, hands.contiguous(), width.contiguous(), *(each.contiguous() for each in start),
        samples, worlds * samples, size, *near, fall,
        arms=arms, padded=triton.next_power_of_2(arms), steps=steps, block=BLOCK,
    )  # fmt: skip
    return path


@triton.jit  # type: ignore[untyped-decorator]
def _follow(  # type: ignore[no-untyped-def]
    path,
    hands,
    width,
    hands_before,
    held_before,
    narrow_before,
    cube,
    samples: int,
    count: int,
    size: float,
    radius: float,
    height: float,
    fall: float,
    arms: tl.constexpr,
    padded: tl.constexpr,
    steps: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Follow samples, one a thread, over all steps; arms are along a second axis."""
    row = tl.program_id(0) * block + tl.arange(0, block)
    here = row < count
    world = row // samples
    sample = row % samples
    arm = tl.arange(0, padded)
    there = here[:, None] & (arm < arms)[None, :]
    pair = world[:, None] * arms + arm[None, :]
    before_x = tl.load(hands_before + 3 * pair, there, 0.0)
    before_y = tl.load(hands_before + 3 * pair + 1, there, 0.0)
    before_z = tl.load(hands_before + 3 * pair + 2, there, 0.0)
    held = tl.load(held_before + pair, there, 0) != 0
    was_narrow = tl.load(narrow_before + pair, there, 0) != 0
    x = tl.load(cube + 3 * world, here, 0.0)
    y = tl.load(cube + 3 * world + 1, here, 0.0)
    z = tl.load(cube + 3 * world + 2, here, 0.0)
    free = z  # the height without a table
    lift = tl.zeros_like(z)
    kept = held
    grasped = held  # what the latest closing of each gripper did
    hand = 3 * pair * samples + sample[:, None]
    gripper = pair * samples + sample[:, None]
    out = 3 * world * samples + sample
    for step in range(steps):
        hand_x = tl.load(hands + hand * steps + step, there, 0.0)
        hand_y = tl.load(hands + (hand + samples) * steps + step, there, 0.0)
        hand_z = tl.load(hands + (hand + 2 * samples) * steps + step, there, 0.0)
        # Arms that only fill up the axis are wide open.
        narrow = tl.load(width + gripper * steps + step, there, 1e9) < size
        carries = tl.where(narrow & held, 1.0, 0.0)
        share = carries / tl.maximum(tl.sum(carries, 1), 1.0)[:, None]
        down = tl.sum((hand_z - before_z) * share, 1)
        x += tl.sum((hand_x - before_x) * share, 1)
        y += tl.sum((hand_y - before_y) * share, 1)
        z += down  # before it falls
        aside = (tl.abs(hand_x - x[:, None]) < radius) & (tl.abs(hand_y - y[:, None]) < radius)
        between = aside & (tl.abs(hand_z - z[:, None]) < height)
        # Only a gripper that was open around the cube grasps it; closed fingers pass it by.
        closing = narrow & (was_narrow == 0)
        grasped = (closing & (between | (kept & (step == 0)))) | (grasped & (closing == 0))
        held = narrow & grasped
        holds = tl.max(tl.where(held, 1, 0), 1)
        free += down - fall * (1 - holds)
        lift = tl.maximum(lift, 0.5 * size - free)  # the table is a reflected path
        z = free + lift
        tl.store(path + out * steps + step, x, here)
        tl.store(path + (out + samples) * steps + step, y, here)
        tl.store(path + (out + 2 * samples) * steps + step, z, here)
        before_x = hand_x
        before_y = hand_y
        before_z = hand_z
        was_narrow = narrow
