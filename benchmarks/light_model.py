"""What the light model of the MuJoCo predictor gains and costs, against other compromises.

    python benchmarks/light_model.py

Rollouts a second are those of bare physics on one thread, as in ``mujoco_predictor.py``; errors are
those of the chunks that move the cube, as in ``prediction_error.py`` with 48 episodes.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import attrs
import mujoco
import numpy as np
import torch
from mujoco_predictor import Bare, draw_chunks, mid_carry, timed
from prediction_error import ARMS, LEAD_IN, MOVED, choose, collect, errors, predict, replay
from reporting import options, save, table

from codi_franka.physics.model import build_model
from codi_franka.physics.mujoco_rollouts import MujocoRollouts
from codi_franka.physics.nominal import Lightness, build_nominal_model
from codi_franka.prediction.physics import PhysicsPredictor
from codi_franka.robot.cell import ARMS as BOTH_ARMS

FULL = Lightness(10, 1.0, 1.0, 10.0, 100, implicit=False)
VARIANTS: dict[str, Lightness | None] = {
    "the environment's model": None,
    "without links, floor and gravity on arms": FULL,
    "that at 16.7 ms": attrs.evolve(FULL, substeps=6),
    "that with softer joints and gripper": attrs.evolve(FULL, substeps=6, joints=0.5, gripper=0.2),
    "springs at the step's end, 16.7 ms": Lightness(6, 1.0, 1.0, 10.0, 100),
    "that at 25 ms": Lightness(4, 1.0, 1.0, 10.0, 100),
    "that with softer joints and gripper, too": Lightness(4, 0.5, 0.2, 10.0, 100),
    "that with impratio 1": Lightness(4, 0.5, 0.2, 1.0, 100),
    "that with 3 iterations (the light model)": Lightness(),
    "at 33 ms": Lightness(3),
    "at 50 ms": Lightness(2),
}


def build(arms: tuple[str, ...], lightness: Lightness | None) -> mujoco.MjModel:
    return build_model(arms) if lightness is None else build_nominal_model(arms, lightness)


def rollouts_per_second(lightness: Lightness | None, samples: int, repeats: int) -> float:
    """Of processor time, from the fastest repetition."""
    state, chunks = mid_carry(), draw_chunks(samples, 0)
    bare, seconds = Bare(state, chunks, 1, build(BOTH_ARMS, lightness)), []
    for _ in range(repeats):
        bare.reset()
        seconds.append(timed(bare.run)[1])
    return samples / min(seconds)


def main() -> int:
    given = _given()
    torch.set_num_threads(1)
    chunks = choose(collect(given.episodes, given.seed), given.chunks, given.seed)
    truth = replay(chunks, given.seed)
    moved = (truth.cube - truth.start.cube_position.unsqueeze(1)).norm(dim=-1).amax(1) > MOVED
    rows, figures = [], {}
    for name, lightness in VARIANTS.items():
        rate = rollouts_per_second(lightness, 64, given.repeats)
        predictor = PhysicsPredictor(ARMS, partial(MujocoRollouts, model=build(ARMS, lightness)))
        found = predict(predictor, truth, chunks.actions[:, LEAD_IN:], given.seed)
        figures[name] = {"rate": rate, **errors(found, truth, truth.valid & moved)}
        rows.append([name, rate, *(_text(figures[name][what]["1.6"]) for what in ("cube", "hand"))])
    heads = ["model", "rollouts/s", "cube at 1.6 s [mm]", "hand at 1.6 s [mm]"]
    table(f"{int(np.sum((truth.valid & moved).numpy()))} chunks, median / p95", heads, rows)
    save(given.json, figures)
    return 0


def _text(values: dict[str, float]) -> str:
    return f"{values['median']:.1f} / {values['p95']:.0f}"


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.set_defaults(seed=20_000_003)
    parser.add_argument("--episodes", type=int, default=48, help="demonstrations (default: 48)")
    parser.add_argument("--chunks", type=int, default=1200, help="at most (default: 1200)")
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
