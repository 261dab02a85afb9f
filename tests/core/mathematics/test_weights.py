"""Eq. 18-19: weights that survive whatever a black box returns."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.guidance import sample_weights
from codi_core.guidance.monte_carlo import shift
from tests.strategies import cost_arrays, generators, temperatures


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


def test_weights_are_the_printed_ones():
    """w_codi / M = exp(-J/λ)/(M μ_w) - 1/M."""
    cost = row(0.0, 0.5, 1.0, 3.0)
    raw = torch.exp(-cost / 0.5)
    printed = raw / raw.mean() - 1
    assert torch.allclose(sample_weights(cost, 0.5).difference(), printed / 4)


def test_shift_is_t_squared_times_the_printed_estimator():
    """Eq. 17 with ∇ log q_t = (a_m - a_t)/t²: a_t drops out, because the weights sum to zero."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    cost = torch.rand(2, 5, generator=generator, dtype=torch.float64)
    noisy, sigma = torch.randn(2, 3, generator=generator, dtype=torch.float64), 0.3
    raw = torch.exp(-cost / 0.2)
    weight = raw / raw.mean(-1, keepdim=True) - 1
    printed = (weight.unsqueeze(-1) * (samples - noisy.unsqueeze(1)) / sigma**2).mean(1)
    assert torch.allclose(shift(samples, sample_weights(cost, 0.2)), sigma**2 * printed)


@given(cost=cost_arrays(), temperature=temperatures())
def test_weights_are_always_finite_and_sum_to_one_or_zero(cost, temperature):
    weights = sample_weights(cost, temperature)
    for part in (weights.tilted, weights.plain):
        assert torch.isfinite(part).all() and (part >= 0).all()
        assert torch.allclose(part.sum(-1), weights.usable.double())
    assert torch.equal(weights.usable, torch.isfinite(cost).any(-1))
    assert weights.difference().sum(-1).abs().max() < 1e-12
    size = weights.effective_sample_size()
    assert (size[weights.usable] >= 1 - 1e-9).all()
    assert (size <= cost.shape[1] + 1e-9).all()
    assert (size[~weights.usable] == 0).all()


@given(cost=cost_arrays(), temperature=temperatures())
def test_lost_and_forbidden_samples_have_no_tilted_weight(cost, temperature):
    weights = sample_weights(cost, temperature)
    assert (weights.tilted[~torch.isfinite(cost)] == 0).all()
    lost = torch.isnan(cost) | (cost == -math.inf)
    assert (weights.plain[lost] == 0).all()
    # A forbidden sample was drawn all the same: guidance moves away from it.
    forbidden = (cost == math.inf) & weights.usable.unsqueeze(-1)
    assert (weights.plain[forbidden] > 0).all()


@given(cost=cost_arrays(finite=True), temperature=temperatures())
def test_a_lost_sample_leaves_the_others_as_if_it_had_not_been_drawn(cost, temperature):
    with_lost = torch.cat([cost, torch.full((len(cost), 1), math.nan).double()], -1)
    one, other = sample_weights(cost, temperature), sample_weights(with_lost, temperature)
    assert torch.allclose(other.tilted[:, :-1], one.tilted)
    assert torch.allclose(other.plain[:, :-1], one.plain)


@given(cost=cost_arrays(finite=True), temperature=temperatures())
def test_the_cheapest_sample_weighs_most(cost, temperature):
    weights = sample_weights(cost, temperature)
    cheapest = weights.tilted.gather(-1, cost.argmin(-1, keepdim=True))
    assert torch.allclose(cheapest, weights.tilted.amax(-1, keepdim=True))


@given(generator=generators(), shift_by=st.integers(-(2**30), 2**30), temperature=temperatures())
def test_adding_a_constant_changes_no_bit(generator, shift_by, temperature):
    """Exactly so where floats can represent the sums: costs in 1/64ths, offsets of 1e9."""
    cost = torch.randint(0, 1000, (2, 7), generator=generator).double() / 64
    one, other = sample_weights(cost, temperature), sample_weights(cost + shift_by, temperature)
    assert torch.equal(one.tilted, other.tilted) and torch.equal(one.plain, other.plain)


def test_offsets_of_1e12_keep_differences_within_float_resolution():
    """At 1e12 doubles are 1.2e-4 apart; that is all that an offset costs."""
    cost = torch.rand(3, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    one, other = sample_weights(cost, 0.1), sample_weights(cost + 1e12, 0.1)
    assert torch.allclose(one.tilted, other.tilted, rtol=2 * 1.3e-4 / 0.1)


@pytest.mark.parametrize("value", [0.0, 3.5, 1e12, -1e300])
def test_equal_costs_leave_the_product_policy(value):
    weights = sample_weights(torch.full((2, 9), value, dtype=torch.float64), 1e-6)
    assert torch.equal(weights.difference(), torch.zeros(2, 9).double())
    assert torch.allclose(weights.effective_sample_size(), torch.full((2,), 9.0).double())


def test_extreme_temperatures():
    cost = row(0.3, 0.1, 0.7)
    assert torch.allclose(sample_weights(cost, 1e-300).tilted, row(0.0, 1.0, 0.0))
    assert torch.allclose(sample_weights(cost, 1e300).tilted, row(1 / 3, 1 / 3, 1 / 3))
    assert torch.allclose(sample_weights(cost, 1e300).difference(), row(0.0, 0.0, 0.0))


def test_the_largest_doubles_do_not_overflow():
    weights = sample_weights(row(1.7e308, -1.7e308, 0.0), 1e-6)
    assert torch.equal(weights.tilted, row(0.0, 1.0, 0.0))


def test_worlds_without_a_usable_sample_are_left_unguided():
    mixed = [-math.inf, math.nan, math.inf]
    cost = torch.tensor([[math.nan] * 3, [math.inf] * 3, mixed, [1.0] * 3])
    weights = sample_weights(cost, 0.5)
    assert weights.usable.tolist() == [False, False, False, True]
    assert torch.equal(weights.difference()[:3], torch.zeros(3, 3).double())


def test_a_temperature_a_world():
    cost = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    weights = sample_weights(cost, torch.tensor([[0.5], [2.0]]))
    for world, temperature in enumerate((0.5, 2.0)):
        alone = sample_weights(cost[world : world + 1], temperature)
        assert torch.allclose(weights.tilted[world], alone.tilted[0])


@given(cost=cost_arrays(finite=True), generator=generators(), temperature=temperatures())
def test_log_weights_act_as_repeated_samples(cost, generator, temperature):
    """A sample with log-weight log 3 counts as three equal samples."""
    counts = torch.randint(1, 4, cost.shape[1:], generator=generator)
    own = counts.double().log().expand(cost.shape)
    weighted = sample_weights(cost, temperature, own)
    repeated = sample_weights(cost.repeat_interleave(counts, -1), temperature)
    owner = torch.arange(cost.shape[1]).repeat_interleave(counts)
    for one, other in ((weighted.tilted, repeated.tilted), (weighted.plain, repeated.plain)):
        total = torch.zeros_like(one).index_add(-1, owner, other)
        assert torch.allclose(one, total, atol=1e-12)


@given(cost=cost_arrays(), offset=st.floats(-1e6, 1e6), temperature=temperatures())
def test_log_weights_matter_up_to_a_constant_only(cost, offset, temperature):
    own = torch.linspace(-1, 1, cost.shape[1]).double().expand(cost.shape)
    one = sample_weights(cost, temperature, own)
    other = sample_weights(cost, temperature, own + offset)
    assert torch.allclose(one.tilted, other.tilted, atol=1e-8)
    assert torch.allclose(one.plain, other.plain, atol=1e-8)


@pytest.mark.parametrize(
    ("cost", "own"),
    [
        # The only sample that the posterior allows is the only one that the cost forbids.
        (row(math.inf, 1.0), row(0.0, -math.inf)),
        # No sample is allowed by the posterior.
        (row(0.0, 1.0), row(-math.inf, -math.inf)),
        (row(0.0, 1.0), row(math.nan, math.nan)),
    ],
)
def test_log_weights_that_leave_nothing_leave_the_world_unguided(cost, own):
    weights = sample_weights(cost, 0.5, own)
    assert not bool(weights.usable)
    assert torch.equal(weights.difference(), torch.zeros_like(cost))


@pytest.mark.parametrize("bad", [-math.inf, math.nan])
def test_a_sample_with_no_log_weight_is_lost(bad):
    """Also when it is the cheapest by far: its cost must not set the scale."""
    weights = sample_weights(row(-1e305, 0.0, 1.0), 1e-6, row(bad, 0.0, 0.0))
    expected = sample_weights(row(0.0, 1.0), 1e-6)
    assert torch.allclose(weights.tilted[:, 1:], expected.tilted)
    assert torch.allclose(weights.plain[:, 1:], expected.plain)
    assert float(weights.difference()[0, 0]) == 0


@given(cost=cost_arrays(), temperature=temperatures())
def test_finite_costs_take_a_shorter_way_to_the_same_weights(cost, temperature):
    """Own log-weights of zero change nothing, but are weighed in full."""
    cost = torch.nan_to_num(cost, 0.5, 1.0, -1.0)
    short, full = (sample_weights(cost, temperature, own) for own in (None, torch.zeros_like(cost)))
    assert torch.equal(short.tilted, full.tilted)
    assert torch.equal(short.plain, full.plain)
    assert torch.equal(short.usable, full.usable)


@pytest.mark.parametrize("lost", [math.inf, math.nan])
def test_a_world_is_weighed_alike_beside_one_that_lost_samples(lost):
    own, other = row(0.3, 0.1, 0.7), row(0.0, lost, 1.0)
    alone, beside = sample_weights(own, 0.01), sample_weights(torch.cat([own, other]), 0.01)
    assert torch.equal(beside.tilted[:1], alone.tilted)
    assert torch.equal(beside.plain[:1], alone.plain)
