"""What a trace holds besides the events: actions, plans, and what the cost says of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.costs import CostTerm, WeightedCost
from codi_core.costs.weighted import evaluate_term
from codi_core.execution import ControlStep
from codi_core.execution.devices import to_device
from codi_core.execution.schedule import ScheduledChunks
from codi_core.execution.world_selection import is_divisible, of_worlds
from codi_core.predictors import Predictor

Values = NDArray[np.float64]


@attrs.frozen(eq=False)
class CostOfActions:
    """Says what each term of a cost makes of actions, by the predictor's judgement.

    Attributes:
        predictor: foresees what the actions lead to.
        cost: the terms.
        device: where both work.
    """

    predictor: Predictor
    cost: WeightedCost
    device: str = "cpu"

    def terms(self, state: Any, chunks: Sequence[Tensor]) -> dict[str, Values]:
        """Each term's value, without its weight, (b,): inf where the prediction failed.

        NaN where the predictor or a term raised: what is only looked at must not end a run.

        Args:
            state: of b worlds, as planned from.
            chunks: actions (b, K, A_i) an agent, physical units.
        """
        count, terms = len(chunks[0]), self.cost.terms
        try:
            with torch.inference_mode():
                single = to_device(tuple(chunk.unsqueeze(1) for chunk in chunks), self.device)
                prediction = self.predictor.predict(to_device(state, self.device), single)
                found = {term.name: _value(term, prediction.trajectory, count) for term in terms}
        except Exception:
            return {term.name: np.full(count, np.nan) for term in terms}
        if prediction.valid is not None:
            failed = ~prediction.valid[:, 0].cpu().numpy()
            found = {name: np.where(failed, np.inf, value) for name, value in found.items()}
        return found


def _value(term: CostTerm, trajectory: Any, count: int) -> Values:
    try:
        return evaluate_term(term, trajectory).reshape(count).double().cpu().numpy()
    except Exception:
        return np.full(count, np.nan)


@attrs.frozen(eq=False)
class _Followed:
    """A plan that some of b worlds follow from a control step on.

    Attributes:
        first: that control step.
        numbers: (b,), the plans' numbers.
        chunks: (b, K, ΣA_i), from that step on, all agents side by side.
        state: the state estimate at that step, of the b worlds.
        known: whether it is; a state may not be divisible by worlds.
    """

    first: int
    numbers: NDArray[np.int64]
    chunks: Tensor
    state: Any
    known: bool


class Tracer:
    """Keeps what is executed in some worlds of a wave.

    The actions of all agents lie side by side: one by one, a large team's would take as long as
    its plans.

    Args:
        worlds: their numbers in the wave, b of them.
        agents: the agents' names.
    """

    def __init__(self, worlds: Sequence[int], agents: Sequence[str]) -> None:
        self.worlds, self.agents = list(worlds), tuple(agents)
        self._rows = torch.tensor(self.worlds)
        self._actions: list[Tensor] = []  # (b, ΣA_i) each
        self._sizes: list[int] = []
        self._numbers: list[NDArray[np.int64]] = []
        self._plans: list[_Followed] = []
        self._latest: ScheduledChunks | None = None
        self._judged: list[dict[str, Values]] = []

    def add(self, step: ControlStep) -> None:
        """Take in a control step. One that was missed before it has the same actions."""
        if step.followed is not self._latest and step.followed is not None:
            self._latest = step.followed
            self._plans.append(self._following(step.followed, len(self._actions), step))
        self._sizes = [action.shape[-1] for action in step.actions]
        actions, numbers = self._own(step.actions), step.plans[self.worlds]
        while len(self._actions) < step.tick:
            self._actions.append(actions)
            self._numbers.append(numbers)

    def trace(self, world: int, steps: int) -> dict[str, NDArray[Any]]:
        """One world's actions and plans over so many control steps, arrays by name.

        They are documented under "A trace" in the documentation.
        """
        row = self.worlds.index(world)
        plans = [self._plans[number] for number in self._begun(row, steps)]
        found: dict[str, NDArray[Any]] = {
            "plan": np.array([numbers[row] for numbers in self._numbers[:steps]], np.int64),
            "chunk.plan": np.array([plan.numbers[row] for plan in plans], np.int64),
            "chunk.step": np.array([plan.first for plan in plans], np.int64),
        }
        actions = np.array([actions[row].numpy() for actions in self._actions[:steps]], np.float32)
        chunks = _padded([plan.chunks[row].numpy() for plan in plans])
        ends = np.cumsum(self._sizes)[:-1]
        parts = (np.split(values, ends, -1) for values in (actions, chunks))
        for agent, action, chunk in zip(self.agents, *parts, strict=True):
            found[f"action.{agent}"], found[f"chunk.{agent}"] = action, chunk
        return found

    def costs(self, world: int, steps: int, judge: CostOfActions) -> dict[str, Values]:
        """What each term says of the actions that a world executed from each plan's start on, (P,).

        After the wave's end the agents go on with their last plan. Call it when nothing is added
        any more.
        """
        row = self.worlds.index(world)
        for plan in self._plans[len(self._judged) :]:  # of all worlds at once, for the first one
            self._judged.append(self._judge(plan, judge))
        begun = self._begun(row, steps)
        names = [term.name for term in judge.cost.terms]
        return {name: np.array([self._judged[n][name][row] for n in begun]) for name in names}

    def _following(self, followed: ScheduledChunks, first: int, step: ControlStep) -> _Followed:
        late = first - followed.first
        chunks = self._own(followed.chunks)[:, late:]
        state, known = step.before.state, is_divisible(step.before.state)
        kept = of_worlds(state, self._rows) if known else None
        return _Followed(first, followed.plans[self.worlds], chunks, kept, known)

    def _own(self, values: Sequence[Tensor]) -> Tensor:
        """Of values (B, ..., A_i) an agent those of the own worlds, (b, ..., ΣA_i)."""
        joined = torch.cat(list(values), -1)
        return joined.index_select(0, self._rows.to(joined.device)).cpu()

    def _begun(self, row: int, steps: int) -> list[int]:
        """Which plans a world began to follow within so many control steps."""
        numbers = [plan.numbers[row] for plan in self._plans if plan.first < steps]
        return [n for n, number in enumerate(numbers) if n == 0 or number != numbers[n - 1]]

    def _judge(self, plan: _Followed, judge: CostOfActions) -> dict[str, Values]:
        if not plan.known:
            return {term.name: np.full(len(self.worlds), np.nan) for term in judge.cost.terms}
        return judge.terms(plan.state, self._executed(plan))

    def _executed(self, plan: _Followed) -> Sequence[Tensor]:
        """The actions (b, K, A_i) of each agent from a plan's start on."""
        horizon, last = self._plans[0].chunks.shape[1], self._plans[-1]
        done = self._actions[plan.first : plan.first + horizon]
        ahead = last.chunks[:, len(self._actions) - last.first :]
        planned = [*done, *ahead.unbind(1)][:horizon]
        planned += planned[-1:] * (horizon - len(planned))
        return torch.split(torch.stack(planned, 1), self._sizes, -1)


@attrs.define(eq=False)
class Tracing:
    """Makes the tracers of a run, and once what judges actions.

    Attributes:
        agents: the agents' names.
        make_judge: makes what judges actions; called when the first trace is kept.
    """

    agents: tuple[str, ...]
    make_judge: Callable[[], CostOfActions]
    _judge: CostOfActions | None = None

    @property
    def judge(self) -> CostOfActions:
        """What judges actions."""
        if self._judge is None:
            self._judge = self.make_judge()
        return self._judge

    def arrays(self, tracer: Tracer, world: int, length: int) -> dict[str, NDArray[Any]]:
        """All that a trace holds besides its events, of which there are ``length`` rows."""
        steps = length - 1
        if not steps:
            return {}
        costs = tracer.costs(world, steps, self.judge)
        terms = {f"cost.{name}": values for name, values in costs.items()}
        return {**tracer.trace(world, steps), **terms}


def mean_costs(trace: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Each term's mean over an episode's plans, of its finite values; no term without any."""
    means = {}
    for name, values in trace.items():
        term = name.removeprefix("cost.")
        if term != name and np.isfinite(values).any():
            means[term] = float(np.mean(values[np.isfinite(values)]))
    return means


def _padded(chunks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Chunks as one array (P, K, A); those that began late end with NaN."""
    longest = max(len(chunk) for chunk in chunks)
    out = np.full((len(chunks), longest, chunks[0].shape[1]), np.nan, np.float32)
    for row, chunk in zip(out, chunks, strict=True):
        row[: len(chunk)] = chunk
    return out
