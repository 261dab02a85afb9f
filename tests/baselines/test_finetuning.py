"""What fine-tuning converges to: closed forms, with normalising and clipping off."""

import attrs
import pytest
import torch

from codi_baselines.finetuning.base import ACTIONS
from codi_baselines.finetuning.dpmd import MirrorDescent
from codi_baselines.finetuning.expo import EditAndDistil
from codi_baselines.finetuning.on_policy import Collecting
from codi_baselines.finetuning.sdac import NOISY, SIGMA, STEP, ActionRange, SoftActorCritic
from codi_baselines.sampling import EQUAL_RATIOS
from codi_core.samplers import DpmSolverSampler, KarrasSchedule
from codi_core.testing import Oracle, energy_distance, linear_cost, mode_shares
from tests.baselines.tuned import Bowl, drawn, normal, rollouts, trainer, unit_gaussian
from tests.core.estimators.problems import mixture_problem

COST = Bowl()
CLOSE = 0.006
"""An energy distance; that of two sets of 3,000 samples of one distribution is below 0.002."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_what_is_sampled_in_few_calls_keeps_its_spread():
    """A policy that learns from its own samples would lose again and again what these lack."""
    schedule = KarrasSchedule(8, 40.0, 0.05, EQUAL_RATIOS)
    start = attrs.evolve(
        rollouts(COST).at(torch.zeros(1, dtype=torch.long), 0), sampler=DpmSolverSampler(schedule)
    )
    with torch.no_grad():
        spread = start.draw(unit_gaussian(), 20_000)[0].std(0)
    assert torch.allclose(spread, torch.ones(2), atol=0.04)


@pytest.mark.parametrize("times", [1, 3])
def test_an_iterate_of_mirror_descent_is_the_base_tilted_as_often(tmp_path, times):
    """π_n ∝ p exp(-nJ/λ): each iterate is trained on samples of the one before (Eq. 51)."""
    temperature, steps = 4.0, 150
    method = MirrorDescent(temperature)
    made = trainer(method, COST, tmp_path, Collecting(steps, 128, 64), times * steps)
    assert made.run()
    wanted = normal(*COST.tilted(times / temperature))
    found = drawn(made.averaged, COST)
    assert float(energy_distance(found, wanted)) < CLOSE
    assert float(energy_distance(normal(0.0, 1.0), wanted)) > 10 * CLOSE


def test_the_weights_of_mirror_descent_tilt_a_mixture():
    """Samples drawn by their weights, again and again, are samples of p exp(-nJ/λ)."""
    problem = mixture_problem(temperature=6.0)
    base, cost, temperature = problem.oracle.base, problem.cost, problem.temperature
    times = 3
    samples = base.sample(20_000, generator())
    for _ in range(times):
        lessons = MirrorDescent(temperature).lessons(samples.unsqueeze(0), cost, generator())
        pick = torch.multinomial(
            lessons.weights[0], 20_000, replacement=True, generator=generator()
        )
        samples = lessons.values[ACTIONS][0, pick]
    exact = Oracle.of(base, cost, temperature / times)
    wanted = exact.sample(3000, generator(1))
    assert float(energy_distance(samples[:3000], wanted)) < 0.05
    assert float(energy_distance(base.sample(3000, generator(2)), wanted)) > 0.5
    shares = [mode_shares(found, exact.target) for found in (samples, wanted)]
    assert (shares[0] - shares[1]).abs().max() < 0.03


def test_normalised_costs_follow_the_running_mean_and_spread():
    """Taken out in the right order, then clipped to ±3."""
    method = MirrorDescent(0.002, normalise=0.5)
    samples = torch.zeros(2, 4, 2)
    first = torch.tensor([[10.0, 12.0, 14.0, 100.0], [10.0, 11.0, torch.nan, torch.inf]])
    finite = first[torch.isfinite(first)]
    mean, spread = float(finite.mean()), float(finite.std(correction=0))
    weights = method.lessons(samples, lambda flat: first, generator()).weights
    expected = torch.softmax(-((first[0] - mean) / spread).clamp(-3, 3) / 0.5, 0)
    assert torch.allclose(weights[0], expected, atol=1e-6)
    assert weights[1, 2] == weights[1, 3] == 0
    assert method.memory == pytest.approx({"mean": mean, "spread": spread})
    second = torch.tensor([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]])
    method.lessons(samples, lambda flat: second, generator())
    assert method.memory["mean"] == pytest.approx(0.9 * mean + 0.1 * 3.5)
    far = MirrorDescent(1.0, 0.5, {"mean": 0.0, "spread": 1.0})
    weights = far.lessons(samples, lambda flat: second, generator()).weights
    # Beyond three spreads a cost is as good as another.
    assert torch.allclose(weights[1], torch.full((4,), 0.25))


def test_a_state_without_a_finite_cost_teaches_nothing():
    costs = torch.tensor([[1.0, 2.0], [torch.inf, torch.nan]])
    samples = torch.zeros(2, 2, 2)
    for method in (MirrorDescent(1.0), EditAndDistil(1.0, 1, 0.1)):
        lessons = method.lessons(
            samples, lambda flat: costs.repeat(1, flat.shape[1] // 2), generator()
        )
        assert (lessons.weights.sum(-1) > 0).tolist() == [True, False]


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_a_soft_actor_critic_aims_at_the_mean_of_the_cheap(sigma):
    """Its target is (E[a | a_t] - a_t)/t under π ∝ exp(-J/λ); Eq. 55 prints the other sign."""
    temperature = 0.7
    method = SoftActorCritic(temperature, 20_000, 0.0, 1.0)
    mean, std = COST.tilted(1 / temperature, prior=0.0)
    noisy = normal(mean, 0.5 * (std + sigma), 8).unsqueeze(1)
    step, usable = method.reverse_step(noisy, torch.full((8, 1), sigma), COST, generator())
    denoised = (std**2 * noisy + sigma**2 * mean) / (std**2 + sigma**2)
    assert usable.all()
    assert ((step - (denoised - noisy) / sigma).abs() < 0.08).all()


def test_the_fixed_point_of_a_soft_actor_critic_is_the_exponential_of_the_cost(tmp_path):
    """π ∝ exp(-J/λ), whatever the base was (Eq. 54); few reverse samples would leave a bias."""
    temperature = 1.0
    method = SoftActorCritic(temperature, 2048, 0.0, 1.5)
    made = trainer(method, COST, tmp_path, Collecting(25, 64, 4, kept=4), 200)
    assert made.run()
    wanted = normal(*COST.tilted(1 / temperature, prior=0.0))
    assert float(energy_distance(drawn(made.averaged, COST), wanted)) < CLOSE
    assert float(energy_distance(normal(0.0, 1.0), wanted)) > 10 * CLOSE


def test_reverse_samples_stay_in_the_range_of_the_demonstrations():
    low, high = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.5])
    seen = []

    def cost(flat):
        seen.append(flat)
        return flat.sum(-1)

    method = SoftActorCritic(1.0, 50, 0.0, 1.0, ActionRange(low, high))
    lessons = method.lessons(normal(0.0, 1.0, 12).view(3, 4, 2), cost, generator())
    assert (seen[0] >= low).all() and (seen[0] <= high).all()
    # The step leads to their weighted mean, which is inside as well.
    aim = lessons.values[NOISY] + lessons.values[SIGMA].unsqueeze(-1) * lessons.values[STEP]
    assert (aim >= low - 1e-5).all() and (aim <= high + 1e-5).all()


def test_an_edit_is_the_mean_of_perturbations_weighted_by_their_costs():
    """For J = b·a, Eq. 57 converges to -Σ b/λ."""
    slope, scale, temperature = torch.tensor([2.0, -1.0]), 0.3, 0.5
    cost = linear_cost(slope.double())
    method = EditAndDistil(temperature, 20_000, scale)
    edit = method.edit(normal(0.0, 1.0, 6).view(2, 3, 2), cost, generator())
    assert ((edit + scale**2 * slope / temperature).abs() < 0.02).all()


def test_the_cheapest_of_edited_and_unedited_samples_wins():
    samples = normal(0.0, 1.0, 40).view(5, 8, 2)
    winners = EditAndDistil(1.0, 8, 0.2).lessons(samples, COST, generator()).values[ACTIONS]
    assert winners.shape == (5, 1, 2)
    assert (COST(winners)[:, 0] <= COST(samples).amin(-1)).all()
    # Edits that only harm leave the best sample as it is.
    harmful = EditAndDistil(1e9, 2, 50.0).lessons(samples, COST, generator()).values[ACTIONS]
    best = samples.gather(1, COST(samples).argmin(-1).view(5, 1, 1).expand(-1, -1, 2))
    assert torch.equal(harmful, best)


def test_a_step_of_edit_and_distil_lowers_the_expected_cost(tmp_path):
    method = EditAndDistil(1.0, 8, 0.2)
    made = trainer(method, COST, tmp_path, Collecting(100, 512, 4), 100)
    assert made.run()
    before = COST.expected(torch.zeros(2), torch.ones(2))
    after = float(COST(drawn(made.averaged, COST)).mean())
    assert float(COST(drawn(unit_gaussian(), COST)).mean()) == pytest.approx(before, rel=0.05)
    assert after < 0.5 * before
