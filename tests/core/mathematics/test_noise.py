"""Noise belongs to an episode, not to a batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.errors import SpecificationError
from codi_core.planning import NoiseSource, noise, stream

KEYS = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 10_000), st.integers(0, 1_000))


@given(key=KEYS)
def test_one_key_one_stream(key):
    one, other = NoiseSource([key]), NoiseSource([key])
    for shape in ((3,), (2, 5), (64, 32)):
        assert torch.equal(one.normal(*shape), other.normal(*shape))
        assert torch.equal(one.uniform(*shape), other.uniform(*shape))


@given(keys=st.lists(KEYS, min_size=2, max_size=5, unique=True))
def test_a_world_gets_the_same_noise_alone_and_in_a_batch(keys):
    together = NoiseSource(keys)
    alone = [NoiseSource([key]) for key in keys]
    for shape in ((7,), (64, 32), (1,)):
        batch = together.normal(*shape)
        assert batch.shape == (len(keys), *shape)
        for row, source in zip(batch, alone, strict=True):
            assert torch.equal(row, source.normal(*shape)[0])


@given(key=KEYS, part=st.integers(0, 2))
def test_neighbours_are_unrelated(key, part):
    """Changing the seed, the episode or the replan by one changes the whole stream."""
    neighbour = list(key)
    neighbour[part] += 1
    noise = NoiseSource([key, neighbour]).normal(4_000)
    correlation = float((noise[0] * noise[1]).mean())
    assert abs(correlation) < 5 / 4_000**0.5


def test_a_grid_of_neighbours_is_standard_normal_and_independent():
    keys = [
        (seed, episode, replan) for seed in range(4) for episode in range(5) for replan in range(5)
    ]
    noise = NoiseSource(keys).normal(5_000)
    assert noise.mean(1).abs().max() < 4.5 / 5_000**0.5
    assert (noise.var(1) - 1).abs().max() < 5 * (2 / 5_000) ** 0.5
    correlation = torch.corrcoef(noise) - torch.eye(len(keys))
    assert correlation.abs().max() < 5.5 / 5_000**0.5
    # The first values of the streams, across keys, are noise too.
    assert abs(float(noise[:, 0].mean())) < 4 / len(keys) ** 0.5


def test_many_streams_do_not_collide():
    """Twenty thousand plans of one run: no two begin alike."""
    keys = [(1, episode, replan) for episode in range(200) for replan in range(100)]
    starts = NoiseSource(keys).normal(2)
    assert len(torch.unique(starts, dim=0)) == len(keys)


def test_successive_draws_differ():
    source = NoiseSource([(0, 0, 0)])
    assert not torch.equal(source.normal(8), source.normal(8))


def test_uniform_values():
    values = NoiseSource([(0, 0, 0), (0, 1, 0)]).uniform(10_000)
    assert values.min() >= 0 and values.max() < 1
    assert (values.mean(1) - 0.5).abs().max() < 0.015
    assert (values.var(1) - 1 / 12).abs().max() < 0.005


def test_named_streams_keep_their_numbers():
    """Episodes and demonstrations of earlier runs depend on them."""
    numbers = {
        "sensor noise": 2**31,
        "start": 2**31 + 1,
        "problem": 2**31 + 2,
        "demonstration": 2**31 + 3,
        "codi-warehouse orders": 3_089_762_767,
    }
    assert {name: stream(name) for name in numbers} == numbers


@given(name=st.text())
def test_other_names_have_numbers_above_them_that_a_key_can_hold(name):
    assert 2**31 <= stream(name) < 2**32 and stream(name) == stream(name)


def test_names_of_one_number_are_refused(monkeypatch):
    number = stream("codi-warehouse orders")
    monkeypatch.setitem(noise._names, number, "codi-warehouse weather")
    with pytest.raises(SpecificationError, match="'codi-warehouse orders' and 'codi-warehouse w"):
        stream("codi-warehouse orders")
