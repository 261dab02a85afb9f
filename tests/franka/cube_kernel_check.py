"""Compare the cube's kernel with the predictor's rounds: ``test_cube_kernel`` runs this."""

from __future__ import annotations

import sys

import torch

from codi_franka.prediction.cube_kernel import cube_path
from codi_franka.robot.cell import CUBE_SIZE

WORLDS, ARMS, SAMPLES, STEPS = 3, 2, 150, 15
NEAR, FALL = (0.008, 0.01), 0.05


def main(device: str) -> None:
    """Grippers open and close at random around a cube, in worlds where some hold it at first."""
    torch.manual_seed(0)
    cube = torch.tensor((0.1, 0.2, 0.3)).expand(WORLDS, 3)
    before = cube[:, None] + 0.004 * torch.randn(WORLDS, ARMS, 3)
    held = torch.tensor(((True, True), (False, True), (False, False)))
    steps = torch.randn(WORLDS, ARMS, 3, SAMPLES, STEPS) * 0.003
    hands = before[..., None, None] + steps.cumsum(-1)
    width = CUBE_SIZE + 0.02 * torch.randn(WORLDS, ARMS, SAMPLES, STEPS)
    start = before, held, held.clone(), cube
    given = [each.to(device) for each in start]
    found = cube_path(tuple(given), hands.to(device), width.to(device), CUBE_SIZE, NEAR, FALL).cpu()
    kinds = set()
    for world in range(WORLDS):
        for sample in range(SAMPLES):
            of_one = [each[world] for each in start]
            expected = followed(of_one, hands[world, ..., sample, :], width[world, :, sample])
            torch.testing.assert_close(
                found[world, :, sample].double(), expected, atol=2e-6, rtol=0
            )
            kinds.add(kind(expected))
    assert kinds == {"grasped", "dropped", "never touched"}, kinds
    print("grasped, dropped and never touched")


def followed(start: list[torch.Tensor], hands: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """The cube (3, K) of one sample, one step after the other, in plain numbers."""
    before, held, narrow, cube = start
    cube, before = cube.double(), before.double()
    holding, was_narrow = held.tolist(), narrow.tolist()
    path = []
    for step in range(STEPS):
        now, closed = hands[..., step].double(), (width[:, step] < CUBE_SIZE).tolist()
        carrying = [n for n in range(ARMS) if holding[n] and closed[n]]
        if carrying:
            cube = cube + (now - before)[carrying].mean(0)
        for n in range(ARMS):
            gap = (now[n] - cube).abs()
            near = bool((gap[:2] < NEAR[0]).all() and gap[2] < NEAR[1])
            kept = step == 0 and bool(held[n])
            if closed[n] and not was_narrow[n]:
                holding[n] = near or kept
            elif not closed[n]:
                holding[n] = False
        if not any(holding):
            cube = cube - torch.tensor((0.0, 0.0, FALL)).double()
        cube = torch.cat((cube[:2], cube[2:].clamp_min(CUBE_SIZE / 2)))
        path.append(cube)
        before, was_narrow = now, closed
    return torch.stack(path, 1)


def kind(path: torch.Tensor) -> str:
    """What became of the cube."""
    moved = bool(path[:2].std(1).max() > 1e-6)
    low = bool(path[2, -1] < CUBE_SIZE)
    return "never touched" if not moved else "dropped" if low else "grasped"


if __name__ == "__main__":
    main(sys.argv[1])
