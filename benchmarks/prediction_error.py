"""How far the predicted cube lies from what really happens over 1.6 s, for both predictors.

    python benchmarks/prediction_error.py
    python benchmarks/prediction_error.py --episodes 200 --chunks 4000 --json prediction_error.json

Fresh demonstrations of the scripted expert, which no policy was trained on, give states and chunks
of 16 actions. The expert's recorded actions are clean, but the motion that was recorded with them
had slow disturbances added; so what really happens is found by replaying the clean chunk open loop
in the randomised physics of the environment (mass, friction), from the recorded state. The replay
begins some steps before the chunk, so that it has springs and fingers in motion, which no state
estimate holds. The predictors get the estimate at the chunk's start, tracking noise included, and
nominal parameters.
"""

from __future__ import annotations

import argparse
import sys

import attrs
import numpy as np
import torch
from reporting import CONSOLE, options, save, spread, table
from torch import Tensor

from codi_core.tasks import EpisodeKey
from codi_franka.action import HORIZON, actuator_targets
from codi_franka.collection.recorder import Frames, Recorder
from codi_franka.collection.settings import CollectionSettings
from codi_franka.perception import CubeNoise
from codi_franka.physics.mujoco_rollouts import MujocoRollouts
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.variation import CubeVariation
from codi_franka.prediction.kinematic import KinematicPredictor
from codi_franka.prediction.physics import PhysicsPredictor
from codi_franka.prediction.trajectory import HandoffTrajectory
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.frames import BaseFrames
from codi_franka.state import FrankaState, tcp_in_world

ARMS = ("left",)
GOAL = torch.tensor([0.45, 0.0, 0.025])
HORIZONS = (4, 8, 12, 16)
LEAD_IN = 3
"""Control steps of replay before a chunk starts."""
JUMP = 0.08
"""[m] A cube that moves further in one control step was made to jump."""
MOVED = 0.02
"""[m] A cube that is displaced further counts as moved."""


@attrs.frozen
class Chunks:
    """n windows of demonstrations.

    Attributes:
        state: the states ``LEAD_IN`` steps before the chunks, one arm.
        actions: (n, LEAD_IN + K, 7).
    """

    state: FrankaState
    actions: Tensor


def collect(episodes: int, seed: int, steps: int = 300) -> list[Frames]:
    """Demonstrations, half of them of picking and half of yielding."""
    settings = CollectionSettings(steps=steps)
    keys = [EpisodeKey(seed, episode) for episode in range(episodes)]
    recorder = Recorder(keys, 0, settings)
    for _ in recorder.run():
        pass
    return [frames for frames in recorder.demonstrations() if frames is not None]


def choose(demonstrations: list[Frames], count: int, seed: int) -> Chunks:
    """Random windows in which the cube doesn't jump by magic."""
    generator, length = np.random.default_rng(seed), LEAD_IN + HORIZON
    cube = np.stack([frames["state.cube_position"] for frames in demonstrations])
    jumps = np.linalg.norm(np.diff(cube, axis=1), axis=-1) > JUMP
    clear = ~np.lib.stride_tricks.sliding_window_view(jumps, length, axis=1).any(-1)
    episode, first = np.nonzero(clear)
    chosen = generator.choice(len(episode), min(count, len(episode)), replace=False)
    episode, first = episode[chosen], first[chosen]
    stacked = {name: np.stack([frames[name] for frames in demonstrations])
               for name in demonstrations[0]}  # fmt: skip
    fields = {field.name: torch.from_numpy(stacked[f"state.{field.name}"][episode, first])
              for field in attrs.fields(FrankaState) if field.name != "goal"}  # fmt: skip
    for name in ("joint_position", "joint_velocity"):
        fields[name] = fields[name].unsqueeze(1)
    window = first[:, None] + np.arange(length)
    return Chunks(
        FrankaState(**fields), torch.from_numpy(stacked["action"][episode[:, None], window])
    )


@attrs.frozen
class Truth:
    """What really happened: the state when the chunk starts, and paths (n, K, 3) [m]."""

    start: FrankaState
    cube: Tensor
    hand: Tensor
    valid: Tensor


def replay(chunks: Chunks, seed: int) -> Truth:
    """Follow the clean actions in the randomised physics of the environment."""
    count = chunks.state.worlds
    simulator, controller = MujocoSimulator(ARMS, count), EndEffectorController()
    draw = torch.from_numpy(np.random.default_rng(seed).random((2, count)))
    simulator.set_state(chunks.state, cube=CubeVariation().sample(draw.mT))
    state, states = chunks.state, []
    for action in chunks.actions.unbind(1):
        targets = actuator_targets(controller, state.joint_position, action.unsqueeze(1))
        state = simulator.step(targets, simulator.substeps).state
        states.append(state)
    bases, after = BaseFrames.of(ARMS), states[LEAD_IN:]
    return Truth(
        states[LEAD_IN - 1],
        torch.stack([state.cube_position for state in after], 1),
        torch.stack([tcp_in_world(state, bases)[:, 0] for state in after], 1),
        torch.from_numpy(simulator.valid.copy()),
    )


def predict(
    predictor: KinematicPredictor | PhysicsPredictor, truth: Truth, actions: Tensor, seed: int
) -> HandoffTrajectory:
    """From the estimate of the state at the chunk's start."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(truth.start.worlds, 6, generator=generator)
    estimate = CubeNoise().apply(truth.start, draw)
    estimate = attrs.evolve(estimate, goal=GOAL.expand(estimate.worlds, 3))  # it doesn't matter
    found: HandoffTrajectory = predictor.predict(estimate, (actions.unsqueeze(1),)).trajectory
    return found


def errors(found: HandoffTrajectory, truth: Truth, rows: Tensor) -> dict[str, dict[str, object]]:
    """Distances [mm] of cube and hand at each horizon."""
    paths = {
        "cube": found.cube_position[:, 0] - truth.cube,
        "hand": found.hand_position[:, 0, :, 0] - truth.hand,
    }
    return {
        what: {
            f"{steps / 10:g}": spread(1e3 * path[rows, steps - 1].norm(dim=-1).numpy())
            for steps in HORIZONS
        }
        for what, path in paths.items()
    }


def main() -> int:
    given = _given()
    torch.set_num_threads(1)
    CONSOLE.print(f"collecting {given.episodes} demonstrations…")
    chunks = choose(collect(given.episodes, given.seed), given.chunks, given.seed)
    truth = replay(chunks, given.seed)
    moved = (truth.cube - truth.start.cube_position.unsqueeze(1)).norm(dim=-1).amax(1) > MOVED
    kinds = {"all": truth.valid, f"cube moves > {1e2 * MOVED:g} cm": truth.valid & moved}
    figures: dict[str, object] = {
        "chunks": {kind: int(rows.sum()) for kind, rows in kinds.items()},
        "episodes": given.episodes, "seed": given.seed, "lead_in": LEAD_IN, "unit": "mm",
    }  # fmt: skip
    predictors = {
        "kinematic": KinematicPredictor(ARMS),
        "mujoco": PhysicsPredictor(ARMS, MujocoRollouts),
    }
    for name, predictor in predictors.items():
        found = predict(predictor, truth, chunks.actions[:, LEAD_IN:], given.seed)
        figures[name] = {kind: errors(found, truth, rows) for kind, rows in kinds.items()}
    for kind, rows in kinds.items():
        _print(kind, int(rows.sum()), figures)
    save(given.json, figures)
    return 0


def _print(kind: str, count: int, figures: dict) -> None:
    columns = ["median / p95", *(f"{steps / 10:g} s" for steps in HORIZONS)]
    rows = [
        [f"{name}, {what}", *(f"{e['median']:.1f} / {e['p95']:.1f}" for e in values.values())]
        for name in ("kinematic", "mujoco")
        for what, values in figures[name][kind].items()
    ]
    table(f"Distance of the prediction from the truth [mm], {kind}: {count} chunks", columns, rows)


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.set_defaults(seed=20_000_003)
    parser.add_argument("--episodes", type=int, default=100, help="demonstrations (default: 100)")
    parser.add_argument("--chunks", type=int, default=3000, help="at most (default: 3000)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
