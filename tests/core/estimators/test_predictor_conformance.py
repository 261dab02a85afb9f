"""The order of a trajectory's axes: what is declared, and what is checked."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import attrs
import pytest
import torch
from torch import Tensor

from codi_core.costs import CostFunction, CostTerms, LocalCost
from codi_core.predictors import Prediction, Predictor, SeparablePredictor, axes_of
from codi_core.testing import ConformanceError, check_cost_function, check_predictor

B, M, K, N = 3, 3, 3, 2  # equal sizes: only the values tell the order


@attrs.frozen
class Positions:
    """In the usual order, with a goal that all samples and steps share."""

    position: Tensor
    goal: Tensor


@attrs.frozen
class Paths:
    """In an order of its own."""

    AXES: ClassVar = {"path": "K 2 B N M", "start": "B N", "pairs": "", "position": "B M K N 2"}

    path: Tensor
    start: dict[str, Tensor]
    pairs: Tensor
    _private: Tensor | None = None

    @property
    def position(self):
        return self.path.permute(2, 4, 0, 3, 1)


@dataclasses.dataclass
class Data:
    position: Tensor


class Named(NamedTuple):
    position: Tensor


def positions(state, chunks):
    moved = torch.stack(chunks, 3).cumsum(2)  # (B, M, K, N, 2)
    return state[:, None, None] + moved


class Sums(Predictor):
    """Actions are steps; the state is where agents start, (B, N, 2)."""

    def __init__(self, make, valid=None):
        self.make, self.valid = make, valid or (lambda position: position[..., 0, 0, 0] > 0)

    def predict(self, state, chunks):
        position = positions(state, chunks)
        return Prediction(self.make(position, state), self.valid(position))


def usual(position, state):
    return Positions(position, state.mean(1)[:, None, None])


def own_order(position, state):
    path = position.permute(2, 4, 0, 3, 1)
    return Paths(path, {"places": state}, torch.zeros(len(position) * N, 2), torch.ones(1))


def inputs():
    generator = torch.Generator().manual_seed(0)
    chunks = tuple(torch.randn(B, M, K, 2, generator=generator) for _ in range(N))
    return torch.randn(B, N, 2, generator=generator), chunks


@pytest.mark.parametrize(
    "make",
    [
        usual,
        own_order,
        lambda position, state: position,
        lambda position, state: {"first": position[..., 0, :], "rest": (position, [position])},
        lambda position, state: Data(position),
        lambda position, state: Named(position),
        lambda position, state: {"least": position.amin(2, keepdim=True)},
    ],
)
def test_trajectories_in_their_declared_order_pass(make):
    check_predictor(Sums(make), *inputs())


def test_the_default_order_is_worlds_samples_steps():
    assert axes_of(torch.zeros(1), "anything") == ("B", "M", "K")
    paths = own_order(positions(*inputs()), inputs()[0])
    assert axes_of(paths, "path") == ("K", "2", "B", "N", "M")
    assert axes_of(paths, "pairs") == () and axes_of(paths, "other") == ("B", "M", "K")


def swapped(position, state):
    return position.transpose(0, 1).contiguous()


def declared_wrongly(position, state):
    return attrs.evolve(own_order(position, state), path=position.permute(2, 4, 1, 3, 0))


def ranked(position, state):
    """Each sample relative to the mean of all."""
    return position - position.mean(1, keepdim=True)


def relative(position, state):
    """Each world relative to the first."""
    return position - position[:1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (swapped, r"\(1, 3, 3, 2, 2\), which does not begin with \(B = 3, M = 1, K = 3\): put"),
        (declared_wrongly, r"'path' of Paths has the shape \(3, 2, 1, 2, 3\).*K = 3, 2, B = 3, N"),
        (ranked, "sample 0 alone differs in 'trajectory' from its slice .* B M K: are they in"),
        (relative, "world 2 alone differs in 'trajectory'"),
        (lambda position, state: position[:, :, :2], r"\(3, 3, 2, 2, 2\).*K = 3\): put it into"),
        (lambda position, state: {"goal": state}, r"'goal' of dict has the shape \(3, 2, 2\)"),
        (lambda position, state: {"_hidden": position}, "no tensor that others may read"),
    ],
)
def test_other_orders_and_mixed_samples_are_refused(make, message):
    with pytest.raises(ConformanceError, match=message):
        check_predictor(Sums(make), *inputs())


def test_validity_is_each_samples_own():
    def best(position):
        return position[..., 0, 0, 0] == position[..., 0, 0, 0].amax(1, keepdim=True)

    with pytest.raises(ConformanceError, match="'valid'"):
        check_predictor(Sums(usual, best), *inputs())


class Gap(CostFunction):
    def __call__(self, trajectory):
        return (trajectory.position[..., 0, :] - trajectory.position[..., 1, :]).norm(dim=-1).sum(2)


class Rank(CostFunction):
    def __call__(self, trajectory):
        gap = Gap()(trajectory)
        return gap - gap.amin(1, keepdim=True)


def test_costs_are_each_samples_own():
    for make in (usual, own_order):
        check_predictor(Sums(make), *inputs(), {"gap": Gap()})
        with pytest.raises(ConformanceError, match=r"sample .* alone differs in 'cost rank'"):
            check_predictor(Sums(make), *inputs(), {"rank": Rank()})


def test_costs_are_checked_on_trajectories_of_any_order():
    state, chunks = inputs()
    for make in (usual, own_order):
        example = Sums(make).predict(state, chunks).trajectory
        check_cost_function(Gap(), example)
        with pytest.raises(ConformanceError, match="returned shape"):
            check_cost_function(lambda trajectory: Gap()(trajectory)[:, :1], example)


def test_one_sample_shows_nothing():
    state, chunks = inputs()
    with pytest.raises(ConformanceError, match="two samples"):
        check_predictor(Sums(usual), state, tuple(chunk[:, :1] for chunk in chunks))


class Apart(SeparablePredictor):
    """Agents whose steps are their own actions, or that also drift by what all of them do."""

    def __init__(self, drift=0.0, fails=False):
        self.drift, self.fails = drift, fails

    def predict(self, state, chunks):
        position = positions(state, chunks)
        valid = torch.ones(position.shape[:2], dtype=torch.bool) if self.fails else None
        return Prediction(position + self.drift * position.mean(3, keepdim=True), valid)

    def recombine(self, trajectory, numbers, moving):
        world, agent = torch.arange(B).unsqueeze(-1), torch.arange(N)
        chosen = trajectory[world, numbers, :, agent].movedim(1, 2).unsqueeze(1)
        return torch.where(moving[:, None, None, :, None], trajectory, chosen)


class PairGap(LocalCost):
    """One term for the two agents."""

    def terms(self, trajectory):
        gap = (trajectory[..., 0, :] - trajectory[..., 1, :]).norm(dim=-1).sum(2)
        worlds = len(gap)
        both = torch.tensor([[0, 1]]).expand(worlds, 2)
        return CostTerms(gap, torch.arange(worlds), both, worlds)


class Nothing(Apart):
    """Puts nothing together."""

    def recombine(self, trajectory, numbers, moving):
        return trajectory


def test_what_is_put_together_is_what_would_be_predicted():
    check_predictor(Apart(), *inputs(), {"gap": PairGap()})
    with pytest.raises(ConformanceError, match=r"Apart.recombine\(\) differs in 'trajectory' from"):
        check_predictor(Apart(0.1), *inputs())
    with pytest.raises(ConformanceError, match=r"Nothing.recombine\(\) differs in 'trajectory'"):
        check_predictor(Nothing(), *inputs())
    with pytest.raises(ConformanceError, match="a separable predictor's samples are never invalid"):
        check_predictor(Apart(fails=True), *inputs())
