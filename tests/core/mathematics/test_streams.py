"""The random streams behind noise: a world's numbers depend on its key and on what it drew."""

from __future__ import annotations

import math

import pytest
import torch

from codi_core.planning import streams
from codi_core.planning.streams import CounterStreams, GeneratorStreams, seed_of, splitmix64

CPU = torch.device("cpu")
KINDS = pytest.mark.parametrize("kind", [CounterStreams, GeneratorStreams])
SEEDS = [seed_of((0, episode, 0)) for episode in range(4)]
PUBLISHED = {
    0: (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F),
    1234567: (6457827717110365317, 3203168211198807973, 9817491932198370423),
}


@pytest.mark.parametrize("seed", PUBLISHED)
def test_splitmix64_gives_the_published_numbers(seed):
    found = splitmix64(torch.tensor(seed), torch.arange(3))
    assert tuple(word % 2**64 for word in found.tolist()) == PUBLISHED[seed]


def splitmix64_of(seed: int, index: int) -> int:
    """The same with Python's whole numbers."""
    mixed = (seed + (index + 1) * 0x9E3779B97F4A7C15) % 2**64
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return mixed ^ (mixed >> 31)


def test_splitmix64_wraps_around_for_any_seed_and_far_on():
    seeds = [2**63 - 1, -1, -(2**63), 17]
    for index in (0, 1, 2**40, 2**62):
        found = splitmix64(torch.tensor(seeds), torch.tensor(index)).tolist()
        assert [word % 2**64 for word in found] == [
            splitmix64_of(seed % 2**64, index) for seed in seeds
        ]


def test_uniform_values_are_the_upper_bits():
    drawn = CounterStreams(SEEDS[:1], CPU).uniform((2, 2)).flatten().tolist()
    words = [splitmix64_of(SEEDS[0], index) for index in range(4)]
    assert drawn == [(word >> 40) / 2**24 for word in words]


def test_normal_values_are_box_and_mullers():
    drawn = CounterStreams(SEEDS[:1], CPU).normal((3,))[0].tolist()
    words = [splitmix64_of(SEEDS[0], index) for index in range(2)]
    radii = [math.sqrt(-2 * math.log(((word >> 32) + 1) / 2**32)) for word in words]
    angles = [2 * math.pi * (word % 2**32) / 2**32 for word in words]
    expected = [radii[0] * math.cos(angles[0]), radii[1] * math.cos(angles[1])]
    assert drawn == pytest.approx([*expected, radii[0] * math.sin(angles[0])], abs=1e-5)


@KINDS
def test_a_world_draws_the_same_alone_and_in_a_batch(kind):
    together, alone = kind(SEEDS, CPU), [kind([seed], CPU) for seed in SEEDS]
    assert together.worlds == len(SEEDS)
    for name, shape in (("normal", (7,)), ("uniform", (3, 2)), ("normal", (4, 5)), ("normal", ())):
        batch = getattr(together, name)(shape)
        assert batch.shape == (len(SEEDS), *shape) and batch.dtype == torch.float32
        assert torch.equal(batch, torch.cat([getattr(each, name)(shape) for each in alone]))


@KINDS
def test_worlds_that_do_not_draw_get_zeros_and_keep_their_streams(kind):
    some, all_of_them = kind(SEEDS, CPU), kind(SEEDS, CPU)
    some.normal((3,)), all_of_them.normal((3,))
    with some.only(torch.tensor([True, False, True, False])):
        drawn = some.uniform((5,))
        with some.only(torch.tensor([False, True, False, False])):
            inner = some.normal((2,))
        again = some.normal((1,))
    expected, later = all_of_them.uniform((5,)), all_of_them.normal((1,))
    assert torch.equal(drawn[::2], expected[::2]) and bool((drawn[1::2] == 0).all())
    assert torch.equal(again[::2], later[::2]) and bool((inner[1] != 0).all())
    assert bool((inner[[0, 2, 3]] == 0).all())
    third = kind(SEEDS[3:], CPU)
    third.normal((3,))
    assert torch.equal(some.normal((6,))[3], third.normal((6,))[0])


@KINDS
def test_replaced_worlds_go_on_where_the_others_are(kind):
    mixed, kept, others = kind(SEEDS[:3], CPU), kind(SEEDS[:3], CPU), kind(SEEDS[2:], CPU)
    expected = kind(SEEDS[2:], CPU)
    for each in (mixed, kept):
        each.normal((2,))
    for each in (others, expected):
        each.uniform((3,))
    mixed.replace([2, 0], others)
    drawn, stayed, came = (each.normal((4,)) for each in (mixed, kept, expected))
    assert torch.equal(drawn[1], stayed[1])
    assert torch.equal(drawn[[2, 0]], came)


def test_counted_normal_values_have_the_distribution():
    """Kolmogorov and Smirnov's distance, moments and tails, of short streams and of a long one."""
    seeds = [seed_of((1, episode, 0)) for episode in range(2_000)]
    for drawn in (
        CounterStreams(seeds, CPU).normal((100,)),
        CounterStreams(seeds[:1], CPU).normal((200_000,)),
    ):
        values = drawn.flatten().double().sort().values
        count = len(values)
        normal = 0.5 * (1 + torch.erf(values / 2**0.5))
        empirical = (torch.arange(count) + 0.5) / count
        # 1.95 / √n is exceeded once in a thousand.
        assert float((normal - empirical).abs().max()) < 1.95 / count**0.5
        for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            assert abs(float(values.pow(power).mean()) - moment) < 4 * (spread / count) ** 0.5
        assert float(values.abs().max()) > 4


def test_counted_uniform_values_have_the_distribution():
    values = CounterStreams(SEEDS, CPU).uniform((50_000,)).flatten().double().sort().values
    empirical = (torch.arange(len(values)) + 0.5) / len(values)
    assert float((values - empirical).abs().max()) < 1.95 / len(values) ** 0.5
    assert values[0] >= 0 and values[-1] < 1


def test_neighbouring_keys_and_neighbouring_numbers_are_unrelated():
    keys = [
        (seed, episode, replan) for seed in range(3) for episode in range(4) for replan in (0, 1)
    ]
    drawn = CounterStreams([seed_of(key) for key in keys], CPU).normal((20_000,))
    assert (torch.corrcoef(drawn) - torch.eye(len(keys))).abs().max() < 5 / 20_000**0.5
    for lag in (1, 2, 10_000):  # 10,000: the two values of one pair
        assert float((drawn[:, lag:] * drawn[:, :-lag]).mean(1).abs().max()) < 5 / 10_000**0.5


def test_the_counted_streams_are_those_of_cuda(monkeypatch):
    """Which device has which kind is decided in one place."""
    made = []
    monkeypatch.setattr(streams, "CounterStreams", lambda *given: made.append(given))
    streams.streams_on([(0, 0, 0)], torch.device("cuda", 0))
    assert made == [([seed_of((0, 0, 0))], torch.device("cuda", 0))]
    assert isinstance(streams.streams_on([(0, 0, 0)], CPU), GeneratorStreams)


@pytest.mark.parametrize("kind", [GeneratorStreams, CounterStreams])
def test_some_worlds_go_on_alone_where_they_were(kind):
    device = torch.device("cpu")
    whole, other = kind([1, 2, 3], device), kind([1, 2, 3], device)
    whole.normal((5,)), other.normal((5,))
    part = whole.of_worlds([2, 0])
    assert part.worlds == 2
    for shape in ((4,), (2, 3)):
        assert torch.equal(part.normal(shape), other.normal(shape)[[2, 0]])
        assert torch.equal(part.uniform(shape), other.uniform(shape)[[2, 0]])
