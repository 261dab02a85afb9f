"""How far the gradient of a trained cost model, and that of rollouts, lower the cost of a plan.

    python benchmarks/cost_model_gradient.py data/franka-handoff-joint
    python benchmarks/cost_model_gradient.py data/visited --checkpoint runs/cost-model.safetensors

In recorded states, demonstrated ones or those of `codi-run --record`, a sample of the joint policy
is made noisy. Its denoised chunk is then shifted against a gradient, by some multiples of the noise
level, and both are rolled out:

- `model`: the gradient of a cost model (Eq. 47), which classifier guidance follows;
- `rollouts`: CoDi's direction, the cost-weighted mean of 64 samples minus their mean (Eq. 17);
- `exact`: the gradient of E[J] that 4,096 samples give, as a reference.

`cosine` is the mean one between a direction and the reference, where the reference is known: the
halves of its samples agree by more than 0.5. It is the cost's change that counts: in most states
nothing that is near costs less.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from reporting import options, save, table
from torch import Tensor
from torch.nn.functional import cosine_similarity

from codi_baselines.cost_model.checkpoint import load_cost_model
from codi_baselines.cost_model.network import CostModel, conditioning
from codi_baselines.demonstrations import JointDemonstrations, plans_in
from codi_baselines.methods.trained import SHIPPED
from codi_baselines.sampling import few_calls
from codi_core.composition import make_evaluate
from codi_core.composition.particles import sample_many
from codi_core.experiments import prepare
from codi_core.guidance.monte_carlo import shift
from codi_core.guidance.weights import sample_weights

LEVELS = (0.3, 1.0, 3.0, 8.0)
LENGTHS = (0.3, 1.0, 3.0)
AT_ONCE = 64
STREAM = 90210

Evaluate = Callable[[Tensor], Tensor]


def covariance(samples: Tensor, costs: Tensor) -> Tensor:
    """Cov(a, J), the gradient of E[J] times t², of (n, M, D) and (n, M): (n, D)."""
    deviation = costs - costs.mean(-1, keepdim=True)
    return torch.einsum("nm,nmd->nd", deviation, samples) / costs.shape[-1]


def around(denoised: Tensor, sigma: float, count: int, generator: torch.Generator) -> Tensor:
    """Samples of N(denoised, t²I), (n, M, D)."""
    noise = torch.randn(len(denoised), count, denoised.shape[-1], generator=generator)
    return denoised.unsqueeze(1) + sigma * noise


def direction(way: Tensor) -> Tensor:
    """Rows of length 1; rows of zeros stay."""
    return way / torch.linalg.vector_norm(way, dim=-1, keepdim=True).clamp_min(1e-12)


def directions(
    model: CostModel,
    seen: Tensor,
    noisy: Tensor,
    sigma: float,
    denoised: Tensor,
    evaluate: Evaluate,
    temperature: float,
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], Tensor]:
    """Where each method shifts a chunk, (n, D), and where the exact way is known, (n,) booleans."""
    with torch.enable_grad():
        point = noisy.clone().requires_grad_()
        level = torch.full((len(noisy),), sigma)
        total = model(point, level, model.encode(seen)).sum()
        (gradient,) = torch.autograd.grad(total, point)
    samples = around(denoised, sigma, 64, generator)
    weights = sample_weights(evaluate(samples), temperature)
    codi = shift(samples, weights)
    halves = []
    for _ in range(2):
        many = around(denoised, sigma, 2048, generator)
        halves.append(covariance(many, evaluate(many)))
    known = cosine_similarity(*halves) > 0.5
    return {"model": -gradient, "rollouts": codi, "exact": -halves[0] - halves[1]}, known


def measure(arguments: argparse.Namespace) -> list[dict[str, float | str]]:
    """One row for each noise level and direction."""
    experiment = prepare("franka-handoff", preset="paper", method="codi-joint")
    product = experiment.product()
    model = load_cost_model(arguments.checkpoint, product)
    predictor, cost = experiment.predictor(), experiment.cost()
    temperature = float(experiment.config.temperature)
    sampler = few_calls(experiment.config, 6)
    recorded = JointDemonstrations.load(arguments.data, experiment.opened, product)
    generator = torch.Generator().manual_seed(arguments.seed)
    chosen = torch.randperm(len(recorded), generator=generator)[: arguments.states]
    found: dict[tuple[float, str], list[dict[str, Tensor]]] = {}
    for part in torch.split(chosen, AT_ONCE):
        context = plans_in(recorded, part, product, (arguments.seed, STREAM))
        evaluate = make_evaluate(product, predictor, cost, context)
        denoiser = product.denoiser(context.observation)
        seen = conditioning(product, context.observation, len(part))
        clean = sample_many(sampler, denoiser, 1, product.size, context)[:, 0]
        for sigma in LEVELS:
            noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
            denoised = denoiser(noisy, torch.tensor(sigma))
            ways, known = directions(
                model, seen, noisy, sigma, denoised, evaluate, temperature, generator
            )
            before = evaluate(denoised.unsqueeze(1))[:, 0]
            for name, way in ways.items():
                shifted = [denoised + length * sigma * direction(way) for length in LENGTHS]
                after = evaluate(torch.stack(shifted, 1))
                row = {"before": before, "after": after, "known": known}
                row["cosine"] = cosine_similarity(way, ways["exact"])
                found.setdefault((sigma, name), []).append(row)
    return [summary(*key, rows) for key, rows in found.items()]


def summary(sigma: float, name: str, rows: list[dict[str, Tensor]]) -> dict[str, float | str]:
    """The means over states."""
    known = torch.cat([row["known"] for row in rows])
    before = torch.cat([row["before"] for row in rows])
    after = torch.cat([row["after"] for row in rows])
    usable = torch.isfinite(before) & torch.isfinite(after).all(-1)
    changes = (after - before.unsqueeze(-1))[usable].mean(0)
    cosine = torch.cat([row["cosine"] for row in rows])[known].mean()
    return {
        "direction": name,
        "t": sigma,
        "cosine": round(float(cosine), 2),
        "known [%]": round(100 * float(known.float().mean())),
        "J before": round(float(before[usable].mean()), 3),
        **{
            f"change at {length:g} t": round(float(change), 3)
            for length, change in zip(LENGTHS, changes, strict=True)
        },
    }


@torch.no_grad()
def main() -> None:
    """Measure, and print a table."""
    parser = options(__doc__)
    parser.add_argument("data", type=Path, help="joint demonstrations, or a recorded run")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=SHIPPED / "franka-handoff" / "cg-joint.safetensors",
        help="of the cost model (default: the shipped one)",
    )
    parser.add_argument("--states", type=int, default=256, help="how many (default: 256)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(arguments)
    title = f"shifts of noisy plans in {arguments.states} states of {arguments.data}"
    table(title, list(rows[0]), [list(row.values()) for row in rows])
    save(arguments.json, {"rows": rows})


if __name__ == "__main__":
    main()
