"""A plugin whose parts return what their interfaces forbid; tests install it as ``codi-bad-parts``.

Each kind of part has a table of what its method makes of a good answer, or instead of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import codi_example
import torch

from codi_core import (
    BasePolicyRecord,
    CostFunction,
    CostRecord,
    Guidance,
    GuidanceRecord,
    IsotropicPosterior,
    MethodRecord,
    Planner,
    PosteriorApproximation,
    PosteriorRecord,
    Prediction,
    Predictor,
    PredictorRecord,
    Sampler,
    SamplerRecord,
    Task,
    TaskParts,
    TaskRecord,
    hookimpl,
)
from codi_core.posteriors import PosteriorSamples

Change = Callable[[Any], Any]

TENSORS: dict[str, Change] = {
    "none": lambda values: None,
    "array": lambda values: values.numpy(),
    "whole": lambda values: values.int(),
    "without-worlds": lambda values: values[0],
    "short": lambda values: values[..., :-1],
    "one-world": lambda values: values[:1],
    "twice": lambda values: values.repeat(1, *[2] * (values.ndim - 1)),
}
"""What may become of a tensor that is asked for."""

NAN: dict[str, Change] = {"nan": lambda values: values * float("nan")}
"""Nothing forbids that; but what is planned from it is refused."""

DRAWN: dict[str, Change] = {
    **{
        name: lambda s, f=change: PosteriorSamples(f(s)) for name, change in (TENSORS | NAN).items()
    },
    "nothing": lambda samples: None,
    "tensor": lambda samples: samples,
    "fewer": lambda samples: PosteriorSamples(samples[:, 1:]),
    "weights": lambda samples: PosteriorSamples(samples, torch.zeros(samples.shape[1])),
    "wide-weights": lambda samples: PosteriorSamples(samples, torch.zeros_like(samples)),
    "raises": lambda samples: {}["elbow"],
}


@attrs.frozen
class Posterior(PosteriorApproximation):
    """The paper's draws, changed."""

    change: Change

    def draw(self, query: Any, count: int) -> Any:
        """Draw."""
        return self.change(IsotropicPosterior().draw(query, count).samples)


@attrs.frozen
class Denoiser:
    """A denoiser, whose answers are changed."""

    denoiser: Any
    change: Change

    def __call__(self, noisy: Any, sigma: Any) -> Any:
        """Denoise."""
        return self.change(self.denoiser(noisy, sigma))


@attrs.frozen
class Guided(Guidance):
    """No guidance at all, but the denoiser is changed."""

    change: Change

    def guide(self, denoiser: Any, evaluate: Any, context: Any) -> Any:
        """Change the denoiser."""
        return self.change(denoiser)


@attrs.frozen(eq=False)
class Sampled(Sampler):
    """Noise, changed."""

    schedule: Any
    change: Change

    def sample(self, denoiser: Any, size: int, context: Any) -> Any:
        """Draw noise."""
        return self.change(context.noise.normal(size))


@attrs.frozen(eq=False)
class Unscheduled(Sampler):
    """A sampler that forgets its noise levels."""

    def sample(self, denoiser: Any, size: int, context: Any) -> Any:
        """Draw noise."""
        return context.noise.normal(size)


Trajectory = codi_example.Trajectory
FORESEEN: dict[str, Change] = {
    "none": lambda found: None,
    "trajectory": lambda found: found.trajectory,
    "no-trajectory": lambda found: Prediction(None),
    "without-worlds": lambda found: Prediction(Trajectory(found.trajectory.positions[0])),
    "without-samples": lambda found: Prediction(Trajectory(found.trajectory.positions[:, 0])),
    "fewer": lambda found: Prediction(Trajectory(found.trajectory.positions[:, 1:])),
    "valid-shape": lambda found: Prediction(found.trajectory, torch.ones(3, dtype=torch.bool)),
    "valid-numbers": lambda found: Prediction(
        found.trajectory, torch.ones(found.trajectory.positions.shape[:2])
    ),
    "valid-list": lambda found: Prediction(found.trajectory, [True]),  # type: ignore[arg-type]
}


@attrs.frozen
class Foresight(Predictor):
    """What the example foresees, changed."""

    change: Change

    def predict(self, state: Any, chunks: Any) -> Any:
        """Predict."""
        return self.change(codi_example.ExactPredictor().predict(state, chunks))


@attrs.frozen
class Judge(CostFunction):
    """The gap, changed."""

    change: Change

    def __call__(self, trajectory: Any) -> Any:
        """Judge."""
        return self.change(trajectory.gap()[..., -1])


class Policy(codi_example.HomePolicy):
    """The example's policy, whose denoiser is changed."""

    def __init__(self, spec: Any, change: Change) -> None:
        super().__init__(spec)
        self.change = change

    def denoiser(self, observation: Any) -> Any:
        """Change the denoiser."""
        return self.change(super().denoiser(observation))


class Unspecified(Policy):
    """A policy that forgets to say what it reads."""

    def __init__(self, spec: Any, change: Change) -> None:
        super().__init__(spec, change)
        del self.spec


class Abstract(PosteriorApproximation):
    """Draws nothing."""


class Unplanned(Planner):
    """A planner that says nothing of its chunks."""

    def plan(self, context: Any) -> Any:
        """Plan nothing."""


def gap_of(trajectory: Any) -> Any:
    """A cost, where a class of costs belongs."""
    return trajectory.gap()[..., -1]


class NeedsRadius(codi_example.Gap):
    """A cost with an option that has no default."""

    def __init__(self, radius: float) -> None:
        self.radius = radius


def denoisers(changes: dict[str, Change]) -> dict[str, Change]:
    """Changes of what denoisers answer, as changes of denoisers."""
    return {
        "no-denoiser": lambda denoiser: None,
        **{name: lambda d, f=change: Denoiser(d, f) for name, change in changes.items()},
    }


MADE: dict[str, Callable[..., Any]] = {
    "nothing": lambda *args, **given: None,
    "class": lambda *args, **given: IsotropicPosterior,
    "other": lambda *args, **given: codi_example.ExactPredictor,
    "number": lambda *args, **given: 3.0,
    "raises": lambda *args, **given: {}["elbow"],
}
"""What a factory may do instead of making its part."""


@hookimpl
def codi_posteriors() -> Iterator[PosteriorRecord]:
    """All of them."""
    for name, change in DRAWN.items():
        yield PosteriorRecord(f"bad-{name}", "bad", lambda f=change: Posterior(f))
    yield PosteriorRecord("abstract", "bad", Abstract)
    for name, factory in MADE.items():
        yield PosteriorRecord(f"made-{name}", "bad", factory)


@hookimpl
def codi_guidances() -> Iterator[GuidanceRecord]:
    """All of them."""

    def factory(change: Change) -> Callable[..., Guidance]:
        return lambda posterior, samples, temperature: Guided(change)

    for name, change in denoisers(TENSORS | NAN).items():
        yield GuidanceRecord(f"bad-{name}", "bad", factory(change))
    for name, make in MADE.items():
        yield GuidanceRecord(f"made-{name}", "bad", make)


@hookimpl
def codi_samplers() -> Iterator[SamplerRecord]:
    """All of them."""
    for name, change in (TENSORS | NAN).items():
        yield SamplerRecord(f"bad-{name}", "bad", lambda schedule, f=change: Sampled(schedule, f))
    yield SamplerRecord("bad-schedule", "bad", lambda schedule: Unscheduled())
    for name, factory in MADE.items():
        yield SamplerRecord(f"made-{name}", "bad", factory)


@hookimpl
def codi_predictors() -> Iterator[PredictorRecord]:
    """All of them."""
    for name, change in FORESEEN.items():
        yield PredictorRecord(f"bad-{name}", "bad", lambda p, r, f=change: Foresight(f))
    for name, factory in MADE.items():
        yield PredictorRecord(f"made-{name}", "bad", factory)


@hookimpl
def codi_base_policies() -> Iterator[BasePolicyRecord]:
    """All of them."""
    for name, change in denoisers(TENSORS | NAN).items():
        yield BasePolicyRecord(f"bad-{name}", "bad", lambda s, c, r, f=change: Policy(s, f))
    yield BasePolicyRecord("bad-spec", "bad", lambda s, c, r: Unspecified(s, lambda d: d))
    for name, factory in MADE.items():
        yield BasePolicyRecord(f"made-{name}", "bad", factory)


@hookimpl
def codi_costs() -> Iterator[CostRecord]:
    """All of them."""
    for name in ("none", "array", "without-worlds", "short", "twice"):
        yield CostRecord(f"bad-{name}", "bad", lambda f=TENSORS[name]: Judge(f))
    yield CostRecord("bad-complex", "bad", lambda: Judge(lambda values: 1j * values))
    yield CostRecord("bad-transposed", "bad", lambda: Judge(lambda values: values.mT))
    yield CostRecord("needs-radius", "bad", NeedsRadius)
    yield CostRecord("function", "bad", gap_of)
    yield CostRecord("instance", "bad", codi_example.Gap())
    for name, factory in MADE.items():
        yield CostRecord(f"made-{name}", "bad", factory)


@hookimpl
def codi_methods() -> Iterator[MethodRecord]:
    """All of them."""
    yield MethodRecord("bad-layout", "bad", lambda parts: Unplanned())
    for name, factory in MADE.items():
        yield MethodRecord(f"made-{name}", "bad", factory)


def example_parts(**changes: Any) -> Callable[..., Task]:
    """The example's task with other parts; a text stands for a wrong ``TaskParts``."""

    class Changed(codi_example.PointsTask):
        """The example's task, changed."""

        def parts(self, options: Any) -> TaskParts:
            """Make its parts."""
            return attrs.evolve(super().parts(options), **changes)

    return Changed


def environment(step: Change) -> Callable[..., Any]:
    """The example's environment, whose steps are changed."""

    class Changed(codi_example.PointsWorld):
        """The example's environment, changed."""

        def step(self, actions: Any) -> Any:
            """Change the step."""
            return step(super().step(actions))

    return lambda resources: Changed(codi_example.Options())


class Metrics(codi_example.PointsMetrics):
    """The example's metrics, changed."""

    def __init__(self, change: Change) -> None:
        self.change = change

    def episode(self, events: Any, dt: float) -> Any:
        """Change the record."""
        return self.change(super().episode(events, dt))


def observed(change: Change) -> Any:
    """The example's offer of policies, whose observation maps are changed."""
    offer = codi_example.OFFER
    factors = tuple(
        attrs.evolve(factor, observe=lambda joint, f=factor.observe: change(f(joint)))
        for factor in offer.factors
    )
    return {"single-agent": attrs.evolve(offer, factors=factors)}


TASKS: dict[str, Callable[..., Any]] = {
    "no-parts": type("NoParts", (codi_example.PointsTask,), {"parts": lambda self, o: None}),
    "no-costs": type("NoCosts", (codi_example.PointsTask,), {"costs": lambda self: None}),
    "no-options": type("NoOptions", (codi_example.PointsTask,), {"Options": dict}),
    "metrics": example_parts(metrics=None),
    "settings": example_parts(settings=None),
    "costs": example_parts(default_costs=["gap"]),
    "rate": example_parts(rate_hz=float("nan")),
    "renderer": example_parts(renderer=3),
    "predictor": example_parts(predictors={"exact": lambda resources: None}),
    "environment": example_parts(environment=lambda resources: None),
    "step": example_parts(environment=environment(lambda step: None)),
    "time": example_parts(environment=environment(lambda s: attrs.evolve(s, time=None))),
    "no-events": example_parts(environment=environment(lambda s: attrs.evolve(s, events=None))),
    "event": example_parts(environment=environment(lambda s: attrs.evolve(s, events={}))),
    "event-shape": example_parts(
        environment=environment(
            lambda s: attrs.evolve(s, events={n: v[:1] for n, v in s.events.items()})
        )
    ),
    "observation": example_parts(
        environment=environment(lambda s: attrs.evolve(s, observation={"offsets": [0.0]}))
    ),
    "observation-rows": example_parts(
        environment=environment(
            lambda s: attrs.evolve(s, observation={"offsets": s.observation["offsets"][:1]})
        )
    ),
    "map-nothing": example_parts(policies=observed(lambda view: None)),
    "map-name": example_parts(policies=observed(lambda view: {"other": view["offset"]})),
    "map-width": example_parts(
        policies=observed(lambda v: {"offset": v["offset"].repeat(1, 1, 2)})
    ),
    "map-history": example_parts(policies=observed(lambda v: {"offset": v["offset"][:, 0]})),
    "record": example_parts(metrics=Metrics(lambda record: None)),
    "record-missing": example_parts(metrics=Metrics(lambda record: {"success": True})),
    "record-text": example_parts(metrics=Metrics(lambda record: {**record, "success": "yes"})),
    "record-time": example_parts(
        metrics=Metrics(lambda r: {**r, "success": True, "completion_time_s": "soon"})
    ),
    "record-json": example_parts(metrics=Metrics(lambda record: {**record, "seen": {1, 2}})),
    "advance": example_parts(advance=lambda state, chunks: state),
    "made": lambda: None,
    "class": lambda: codi_example.PointsTask,
    "argument": lambda robots: None,
}


@hookimpl
def codi_tasks() -> Iterator[TaskRecord]:
    """All of them."""
    for name, task in TASKS.items():
        yield TaskRecord(f"bad-{name}", "bad", task)
