"""An example plugin: a tiny task, ``example-points``.

Two points live on a line. Each was "trained" alone, to stay near its own end of it. Guided by
the cost ``gap`` they meet. The base policies are Gaussians in closed form, so the task needs no
checkpoint and no simulator, and an episode takes milliseconds. It brings a cost of its own,
``early-meeting``, and a kind of base policy, ``example-home``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from codi_core import (
    ActionSpec,
    BasePolicy,
    BasePolicyRecord,
    CostFunction,
    CostRecord,
    Demonstrator,
    Environment,
    EpisodeKey,
    EpisodeRecord,
    FactorLayout,
    Metrics,
    Normaliser,
    PlanSettings,
    PolicyOffer,
    PolicySpec,
    Prediction,
    Predictor,
    Renderer,
    Resources,
    Step,
    Task,
    TaskParts,
    TaskRecord,
    hookimpl,
)

RATE_HZ = 10.0
HORIZON = 8
HOMES = (-1.0, 1.0)  # where each point was taught to stay [m]
MEETING = 0.1  # points closer than this have met [m]


@hookimpl
def codi_tasks() -> Iterator[TaskRecord]:
    """The task."""
    yield TaskRecord("example-points", "two points on a line that must meet", PointsTask)


@hookimpl
def codi_costs() -> Iterator[CostRecord]:
    """The cost."""
    yield CostRecord(
        "early-meeting", "the gap, averaged over the horizon", EarlyMeeting, ("example-points",)
    )


@hookimpl
def codi_base_policies() -> Iterator[BasePolicyRecord]:
    """The policy that the task offers."""
    yield BasePolicyRecord(
        "example-home", "a Gaussian around going home", make_policy, ("example-points",)
    )


@attrs.frozen
class Trajectory:
    """What is foreseen.

    Attributes:
        positions: of both points [m], (B, M, K, 2).
    """

    positions: Tensor

    def gap(self) -> Tensor:
        """The distance between the points [m], (B, M, K)."""
        return (self.positions[..., 0] - self.positions[..., 1]).abs()


class Gap(CostFunction):
    """The gap at the end of the horizon [m]."""

    def __call__(self, trajectory: Trajectory) -> Tensor:
        """The cost of each sample, (B, M)."""
        return trajectory.gap()[..., -1]


class EarlyMeeting(CostFunction):
    """The gap averaged over the horizon [m], at least ``floor``."""

    def __init__(self, floor: float = 0.0) -> None:
        if floor < 0:
            raise ValueError(f"floor must be at least 0, not {floor}")
        self.floor = floor

    def __call__(self, trajectory: Trajectory) -> Tensor:
        """The cost of each sample, (B, M)."""
        return trajectory.gap().clamp_min(self.floor).mean(-1)


class HomePolicy(BasePolicy):
    """A Gaussian policy: velocities around those that lead home, independent of one another."""

    def __init__(self, spec: PolicySpec, device: str = "cpu") -> None:
        self.spec = spec
        self.normaliser = Normaliser(torch.zeros(1), torch.ones(1)).to(device)

    def denoiser(self, observation: Mapping[str, Tensor]) -> Any:
        """E[a | a_t] of N(mean, I), in closed form."""
        offset = observation["offset"][:, -1]  # (B, 1)
        mean = (-0.5 * offset).expand(-1, HORIZON)  # (B, K)

        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            variance = sigma.square().reshape(-1, *[1] * (noisy.ndim - 1))
            prior = mean.reshape(len(mean), *[1] * (noisy.ndim - 2), HORIZON)
            return (noisy + variance * prior) / (1 + variance)

        return denoise


class ExactPredictor(Predictor):
    """Integrates the velocities."""

    def predict(self, state: Tensor, chunks: tuple[Tensor, ...]) -> Prediction:
        """The positions that the chunks lead to."""
        velocities = torch.cat(chunks, -1)  # (B, M, K, 2)
        return Prediction(Trajectory(state[:, None, None] + velocities.cumsum(2) / RATE_HZ))


@attrs.frozen
class Options:
    """The task's own options."""

    starts: tuple[float, float] = attrs.field(
        default=(-0.8, 0.8),
        metadata={"help": "where the points start [m]", "metavar": ("LEFT", "RIGHT")},
    )
    randomize: bool = attrs.field(default=True, metadata={"help": "move the starts by up to 0.1 m"})


class PointsWorld(Environment):
    """The true worlds; their state is the (B, 2) positions [m]."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.steps = 0
        self.positions = torch.zeros(0, 2)

    def reset(self, episodes: Sequence[EpisodeKey], rows: Sequence[int] | None = None) -> Step:
        """Start episodes in all worlds, or in the worlds ``rows``."""
        draws = [
            np.random.default_rng([key.seed, key.episode]).uniform(-0.1, 0.1, 2) for key in episodes
        ]
        noise = torch.as_tensor(np.array(draws), dtype=torch.float32)
        starts = torch.tensor(self.options.starts) + noise * self.options.randomize
        if rows is None:
            self.positions, self.steps = starts, 0
        else:
            self.positions = self.positions.index_copy(0, torch.tensor(rows), starts)
        return self._look()

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        """Move with the velocities (B, 1) for one control period."""
        self.positions = self.positions + torch.cat(actions, -1).clamp(-2, 2) / RATE_HZ
        self.steps += 1
        return self._look()

    def _look(self) -> Step:
        events = {
            "positions": self.positions.numpy(),
            "failed": (self.positions.abs() > 10).any(-1).numpy(),
        }
        return Step(self.steps / RATE_HZ, self.positions, observe(self.positions), events)


def observe(positions: Tensor) -> dict[str, Tensor]:
    """The joint observation: how far each point is from its home [m], (B, 2)."""
    return {"offsets": positions - torch.tensor(HOMES)}


def advance(positions: Tensor, chunks: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """Where the points are after committed velocities, (B, c, 1) each."""
    after = positions + torch.cat(chunks, -1).clamp(-2, 2).sum(1) / RATE_HZ
    return after, observe(after)


class PointsMetrics(Metrics):
    """Scores a meeting."""

    def episode(self, events: Mapping[str, Any], dt: float) -> EpisodeRecord:
        """Success is having met."""
        gaps = np.abs(np.diff(events["positions"], axis=-1))[:, 0]
        met = np.flatnonzero(gaps < MEETING)
        return {
            "success": bool(met.size),
            "completion_time_s": float(met[0] * dt) if met.size else None,
            "min_gap_m": float(gaps.min()),
        }

    def summary(self, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
        """The median of the smallest gaps."""
        return {"min_gap_m": {"median": float(np.median([r["min_gap_m"] for r in records]))}}


class PointsRenderer(Renderer):
    """Draws the line as a small picture."""

    def frames(self, trace: Mapping[str, Any]) -> Iterator[Any]:
        """One picture a control step, (32, 128, 3)."""
        for pair in trace["positions"]:
            picture = np.full((32, 128, 3), 255, np.uint8)
            for position, colour in zip(pair, ((200, 60, 40), (40, 90, 200)), strict=True):
                column = int(np.clip(64 + 40 * position, 2, 125))
                picture[12:20, column - 2 : column + 3] = colour
            yield picture

    def draw_paths(self, axes: Any, trace: Mapping[str, Any]) -> None:
        """The positions over time."""
        axes.plot(trace["positions"], np.arange(len(trace["positions"])) / RATE_HZ)
        axes.set(xlabel="position [m]", ylabel="time [s]")


class Wanderer(Demonstrator):
    """Demonstrates going home, with one point."""

    robot_type = "point"

    def __init__(self) -> None:
        from codi_core.data import FeatureSpec

        self.features = {
            "observation.state": FeatureSpec((1,), ("offset [m]",)),
            "action": FeatureSpec((1,), ("velocity [m/s]",)),
        }

    def collect(self, episodes: Sequence[EpisodeKey], writer: Any) -> list[EpisodeRecord]:
        """Ten steps towards home, from a random place."""
        records = []
        for key in episodes:
            start = np.random.default_rng([key.seed, key.episode]).uniform(-1, 1)
            offsets = start * 0.95 ** np.arange(11)
            frames = {
                "observation.state": offsets[:10, None].astype(np.float32),
                "action": (np.diff(offsets) * RATE_HZ)[:, None].astype(np.float32),
            }
            writer.add_episode(frames, "go home")
            records.append({"success": True, "frames": 10, "start_m": float(start)})
        return records

    def report(self, records: Sequence[EpisodeRecord], folder: Path) -> list[Path]:
        """Nothing to draw."""
        return []


class PointsTask(Task):
    """Two points that must meet."""

    Options = Options

    def parts(self, options: Options) -> TaskParts:
        """The parts, which hardly depend on the options."""
        return TaskParts(
            agents=("left", "right"),
            rate_hz=RATE_HZ,
            environment=lambda resources: PointsWorld(options),
            policies={"single-agent": OFFER},
            predictors={"exact": lambda resources: ExactPredictor()},
            default_costs={"gap": 1.0},
            metrics=PointsMetrics(),
            renderer=PointsRenderer(),
            remark=remark,
            settings=PlanSettings(samples=64, temperature=0.02, steps=8, sigma_max=10.0),
            max_seconds=5.0,
            advance=advance,
            demonstrator=lambda resources: Wanderer(),
            presets={"quick": {"samples": 16, "steps": 4}},
            paths=paths,
        )

    def costs(self) -> Mapping[str, Any]:
        """The task's own cost."""
        return {"gap": Gap}


def remark(trace: Mapping[str, Any], step: int) -> str:
    """What videos say of a control step: how far apart the points are."""
    left, right = trace["positions"][step]
    return f"{abs(left - right):.1f} m apart"


def paths(trajectory: Trajectory) -> dict[str, Tensor]:
    """Where the points go, on a line along x: (B, M, K, 2) each."""
    return {
        name: torch.stack((x, torch.zeros_like(x)), -1)
        for name, x in zip(("left", "right"), trajectory.positions.unbind(-1), strict=True)
    }


def make_policy(spec: PolicySpec, checkpoint: Path | None, resources: Resources) -> BasePolicy:
    """The policy; it is known in closed form, so there is no checkpoint to load."""
    return HomePolicy(spec, resources.device)


SPEC = PolicySpec(ActionSpec(("velocity [m/s]",), HORIZON, RATE_HZ), {"offset": (1,)})
OFFER = PolicyOffer(
    "one policy for both points; each sees its own offset only",
    tuple(
        FactorLayout(
            "point",
            (agent,),
            lambda joint, agent=agent: {"offset": joint["offsets"][..., agent : agent + 1]},
            SPEC,
        )
        for agent in range(2)
    ),
    policy="example-home",
)
