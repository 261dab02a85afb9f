"""What the MuJoCo predictor adds to bare physics: rollouts a second, as a ratio.

    python benchmarks/mujoco_predictor.py
    python benchmarks/mujoco_predictor.py --samples 64 --threads 2

Both sides roll the same samples out from the same state, with the same model, substeps and threads.
The bare side is one ``mujoco.batch.Batch.rollout`` call on joint targets that were computed before,
from a state that was set before; the predictor resolves end-effector velocities into joint
velocities at each control step and makes a trajectory. Repetitions alternate.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from reporting import options, save, table, verdict
from torch import Tensor

from codi_core.samplers import KarrasSchedule
from codi_core.tasks import EpisodeKey
from codi_franka.action import HORIZON, actuator_targets
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.nominal import build_nominal_model
from codi_franka.prediction.physics import PhysicsPredictor
from codi_franka.robot.cell import ARMS
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.reach import servo_twist
from codi_franka.state import FrankaState

BAR = 0.85
CUBE = torch.tensor([0.4, 0.05, 0.018])
"""[m] Where the left arm finds the cube, in its base frame."""


def mid_carry() -> FrankaState:
    """The left arm carries the cube; reached by a script in the environment."""
    start = (float(CUBE[0]) - 0.65, float(CUBE[1]), float(torch.atan2(CUBE[1], CUBE[0])))
    environment = FrankaEnvironment(HandoffOptions(start=start, randomize=False), MujocoMaker())
    step = environment.reset([EpisodeKey(0, 0)])
    above, beyond = CUBE + torch.tensor([0.0, 0.0, 0.12]), torch.tensor([0.5, 0.0, 0.15])
    script = [(above, 0.08, 15), (CUBE, 0.08, 12), (CUBE, 0.0, 5), (beyond, 0.0, 8)]
    for target, width, count in script:
        for _ in range(count):
            twist = servo_twist(environment.state.joint_position[:, 0], target[None])
            left = torch.cat((twist, torch.full((1, 1), width)), -1)
            right = torch.tensor([[0.0] * 6 + [0.08]])
            step = environment.step((left, right))
    if not step.events["cube_position"][0, 2] > 0.06:
        raise RuntimeError("the script has lost the cube")
    state: FrankaState = step.state
    return state


def draw_chunks(samples: int, seed: int) -> tuple[Tensor, ...]:
    """Samples as a plan draws them: at all of its noise levels, the wild ones included.

    (1, M, K, 7) an arm; an action's standard deviation in the data is about 0.2 m/s, 0.4 rad/s
    and 4 cm.
    """
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([0.2] * 3 + [0.4] * 3 + [0.04])
    levels = KarrasSchedule(16, 40.0, 0.05, 5.0).levels("cpu")[:-1]
    sigma = levels[torch.arange(samples) % len(levels)][:, None, None]
    noise = torch.randn(len(ARMS), samples, HORIZON, 7, generator=generator)
    return tuple((scale * sigma * chunk)[None] for chunk in noise)


class Bare:
    """``Batch.rollout`` on joint targets, and nothing else."""

    def __init__(
        self,
        state: FrankaState,
        chunks: tuple[Tensor, ...],
        threads: int,
        model: mujoco.MjModel | None = None,
    ) -> None:
        samples = chunks[0].shape[1]
        self.simulator = MujocoSimulator(ARMS, samples, threads, model or build_nominal_model(ARMS))
        self.start = state.repeat(samples)
        self.control = self._targets(torch.stack(chunks, 3)[0])
        self.steps = self.control.shape[1]

    def _targets(self, actions: Tensor) -> NDArray[np.float64]:
        """The targets (M, K·substeps, nu) that the predictor's controller would set."""
        controller, now, rows = EndEffectorController(), self.start, []
        self.reset()
        for action in actions.unbind(1):
            targets = actuator_targets(controller, now.joint_position, action)
            now = self.simulator.step(targets, self.simulator.substeps).state
            rows.append(targets.numpy().astype(np.float64))
        return np.repeat(np.stack(rows, 1), self.simulator.substeps, 1)

    def reset(self) -> None:
        """Back to the start; not measured."""
        self.simulator.set_state(self.start)

    def run(self) -> None:
        """One call."""
        self.simulator.batch.rollout(
            self.steps, self.control, mujoco.mjtState.mjSTATE_CTRL, record=("qpos",)
        )


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    began, spent = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - spent


def quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    low, middle, high = np.percentile(values, [5, 50, 95])
    return {"median": float(middle), "p5": float(low), "p95": float(high)}


def measure(given: argparse.Namespace) -> dict[str, object]:
    """Alternate both sides; the ratio is that of neighbours in time."""
    state, chunks = mid_carry(), draw_chunks(given.samples, given.seed)
    bare = Bare(state, chunks, given.threads)
    predictor = PhysicsPredictor(ARMS, MujocoMaker(given.threads).rollouts)
    predictor.predict(state, chunks)
    seconds: dict[str, list[tuple[float, float]]] = {"bare": [], "predictor": []}
    for _ in range(given.repeats):
        bare.reset()
        seconds["bare"].append(timed(bare.run))
        seconds["predictor"].append(timed(lambda: predictor.predict(state, chunks)))
    wall, processor = (np.array(seconds["bare"]) / np.array(seconds["predictor"])).T
    rates = {
        name: given.samples / float(np.median([wall for wall, _ in values]))
        for name, values in seconds.items()
    }
    return {
        "rollouts_per_second": rates, "ratio": quantiles(wall), "cpu_ratio": quantiles(processor),
        "samples": given.samples, "threads": given.threads, "horizon": HORIZON,
        "substeps": bare.simulator.substeps, "repeats": given.repeats, "bar": BAR,
    }  # fmt: skip


def main() -> int:
    given = _given()
    torch.set_num_threads(1)
    figures = measure(given)
    rates, ratio = figures["rollouts_per_second"], figures["ratio"]
    title = (
        f"Rollouts of {HORIZON / 10:g} s a second: M {given.samples}, {given.threads} physics "
        f"thread(s), {figures['substeps']} substeps a control step"
    )
    table(title, ["", "rollouts/s"], [[name, value] for name, value in rates.items()])
    rows = [
        [label, figures[name]["median"], figures[name]["p5"], figures[name]["p95"]]
        for label, name in (("wall time", "ratio"), ("processor time", "cpu_ratio"))
    ]
    table("predictor / bare", ["ratio", "median", "p5", "p95"], rows)
    verdict(f"ratio of at least {BAR:g}", ratio["median"] >= BAR)
    save(given.json, figures)
    return 0


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--samples", type=int, default=64, help="M (default: 64)")
    parser.add_argument("--threads", type=int, default=1, help="for physics (default: 1)")
    parser.add_argument("--repeats", type=int, default=15)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
