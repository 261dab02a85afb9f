"""One cell: how far an estimate of the guidance term is from the exact one, in mean and spread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_baselines.locality.teams import GRAPHS, SIGMA, GaussianTeam
from codi_core.composition import make_evaluate
from codi_core.guidance import FactoredGuidance, Guidance, MonteCarloGuidance
from codi_core.testing import ExactPosterior

HOPS: tuple[int | None, ...] = (0, 1, 2, 3, None)
"""None is `monte-carlo`, to which h that spans the graph is equal."""

AGENTS, STIFFNESS, SAMPLES = 16, 0.5, 64
"""Where a sweep varies something else."""

CHUNK = 2**20
"""The most sampled values at a time."""


@attrs.frozen
class Sweeps:
    """What is varied, one after another.

    Attributes:
        agents: the numbers N by graph.
        stiffnesses: the couplings k.
        samples: the numbers M.
        repeats: how often each estimate is drawn anew.
    """

    agents: dict[str, tuple[int, ...]] = attrs.field(
        factory=lambda: {"chain": (2, 4, 8, 16, 32, 64), "grid": (4, 9, 16, 36, 64)}
    )
    stiffnesses: tuple[float, ...] = (0.05, 0.2, 0.5, 1.0, 2.0)
    samples: tuple[int, ...] = (16, 64, 256, 1024)
    repeats: int = 400


@attrs.frozen
class Cell:
    """What is measured at once.

    Attributes:
        graph: "chain" or "grid".
        agents: N.
        stiffness: k.
        samples: M.
        hops: h, or None for `monte-carlo`.
    """

    graph: str
    agents: int
    stiffness: float
    samples: int
    hops: int | None

    @property
    def key(self) -> tuple[str, int, float, int, int | None]:
        """Names the cell among records."""
        return attrs.astuple(self)

    @property
    def title(self) -> str:
        """What progress shows."""
        hops = "monte-carlo" if self.hops is None else f"h {self.hops}"
        return f"{self.graph} of {self.agents}, k {self.stiffness:g}, M {self.samples}, {hops}"

    @property
    def work(self) -> int:
        """In proportion to the time that it takes, for one estimate."""
        return self.agents * (self.samples + 32)


def make_cells(sweeps: Sweeps) -> Iterator[Cell]:
    """All cells, none twice."""
    seen = set()
    for graph in GRAPHS:
        settings = [
            *((count, STIFFNESS, SAMPLES) for count in sweeps.agents[graph]),
            *((AGENTS, stiffness, SAMPLES) for stiffness in sweeps.stiffnesses),
            *((AGENTS, STIFFNESS, samples) for samples in sweeps.samples),
        ]
        for setting in settings:
            for hops in HOPS:
                cell = Cell(graph, *setting, hops)
                if cell not in seen:
                    seen.add(cell)
                    yield cell


def measure(cell: Cell, repeats: int) -> dict[str, Any]:
    """Measure one cell.

    Returns:
        the record: the cell, and relative to the exact guidance term, as root mean squares over
        agents, the ``bias`` and the ``deviation`` (standard deviation) of its estimate, and the
        ``limit`` of the bias as M grows, which is exact; besides, the mean effective sample size
        ``ess``.
    """
    team = GaussianTeam(cell.graph, cell.agents, cell.stiffness)
    exact = team.limit(None)
    found, ess = estimates(team, cell.hops, cell.samples, repeats)
    scale = exact.square().mean()
    variance = found.var(0).mean()
    # The mean of finitely many estimates has a variance of its own.
    squared = (found.mean(0) - exact).square().mean() - variance / repeats
    limit = (team.limit(cell.hops) - exact).square().mean()
    return {
        **attrs.asdict(cell),
        "bias": float((squared.clamp_min(0) / scale).sqrt()),
        "deviation": float((variance / scale).sqrt()),
        "limit": float((limit / scale).sqrt()),
        "ess": ess,
    }


def estimates(
    team: GaussianTeam, hops: int | None, samples: int, repeats: int, seed: int = 0
) -> tuple[Tensor, float]:
    """Independent estimates of t² g^J at a_t = 0, (repeats, N), and their mean effective size."""
    problem = team.problem
    posterior = ExactPosterior(problem.product)
    guidance: Guidance = MonteCarloGuidance(posterior, samples, 1.0)
    if hops is not None:
        guidance = FactoredGuidance(posterior, samples, 1.0, hops)
    size = max(1, CHUNK // (samples * team.agents))
    parts, sizes = [], []
    with torch.no_grad():
        for first in range(0, repeats, size):
            numbers = range(first, min(first + size, repeats))
            context = problem.context_of([(seed, number, 0) for number in numbers])
            evaluate = make_evaluate(problem.product, problem.predictor, team.cost, context)
            noisy = torch.zeros(len(numbers), team.agents)
            guided = guidance.guide(problem.denoiser(), evaluate, context)
            # The denoised chunk at a_t = 0 is 0, so this is the guidance term.
            parts.append(guided(noisy, torch.tensor(SIGMA)).double())
            sizes.append(context.diagnostics.series["effective_sample_size"][0])
    return torch.cat(parts), float(torch.cat(sizes).mean())
