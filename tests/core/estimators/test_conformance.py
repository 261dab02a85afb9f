"""The conformance kit: built-in parts pass, and each deliberately broken part is told why not."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from codi_core.costs import CostFunction
from codi_core.guidance import Guidance, LibraryGuidance, MonteCarloGuidance, NoGuidance
from codi_core.host.choices import make_part
from codi_core.host.plugins import load_plugins
from codi_core.policies import ActionSpec, BasePolicy, DiffusionPolicy, Normaliser, PolicySpec
from codi_core.posteriors import IsotropicPosterior, PosteriorApproximation, PosteriorSamples
from codi_core.samplers import AncestralSampler, KarrasSchedule, Sampler
from codi_core.testing import (
    ConformanceError,
    check_base_policy,
    check_cost_function,
    check_guidance,
    check_posterior,
    check_sampler,
    check_task,
    linear_cost,
    single_gaussian,
)
from tests.core.plugin_path import install
from tests.example_plugin import codi_example

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

HOST = load_plugins()
SCHEDULE = KarrasSchedule()


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """The example plugin brings the policy that its task offers."""
    install(tmp_path, "codi-example", {"example": "tests.example_plugin.codi_example"})
    monkeypatch.syspath_prepend(str(tmp_path))


def refused(check, part, message):
    with pytest.raises(ConformanceError, match=message):
        check(part)


@pytest.mark.parametrize("name", ["isotropic", "matched", "jacobian", "denoised"])
def test_built_in_posteriors(name):
    check_posterior(HOST.posteriors.get(name).factory())


def test_the_posterior_of_the_data_covariance():
    check_posterior(HOST.posteriors.get("data-covariance").factory(estimate_from=8))


@pytest.mark.parametrize("options", [{}, {"ess": 0.2}])
@pytest.mark.parametrize(
    "name", ["monte-carlo", "factored", "library", "hybrid", "reparameterized"]
)
def test_built_in_guidances(name, options):
    record = HOST.guidances.get(name)
    check_guidance(
        make_part(
            record.factory,
            name,
            posterior=IsotropicPosterior(),
            samples=32,
            temperature=0.5,
            options=options,
        )
    )
    check_guidance(NoGuidance())


@pytest.mark.parametrize("name", HOST.samplers.names())
def test_built_in_samplers(name):
    check_sampler(HOST.samplers.get(name).factory(schedule=SCHEDULE))


@pytest.mark.parametrize("first", ["calibrated", "heun", "dpm-solver", "dpm-solver-sde"])
def test_warm_starts_with_other_steps(first):
    check_sampler(HOST.samplers.get("warm-start").factory(schedule=SCHEDULE, first=first))


@pytest.mark.parametrize("sampler", ["calibrated", "euler-maruyama", "dpm-solver-sde"])
def test_the_denoised_posterior_with_other_steps(sampler):
    check_posterior(HOST.posteriors.get("denoised").factory(sampler=sampler))


@pytest.mark.parametrize("sampler", ["calibrated", "heun", "dpm-solver", "dpm-solver-sde"])
def test_base_samples_of_other_samplers(sampler):
    options = {"sampler": sampler, "steps": 4, "start": 10.0}
    check_posterior(HOST.posteriors.get("data-covariance").factory(estimate_from=8, **options))
    for name in ("library", "hybrid"):
        scale = {"posterior": IsotropicPosterior(), "samples": 32, "temperature": 0.5}
        check_guidance(HOST.guidances.get(name).factory(**scale, **options))


def test_built_in_policies_and_costs():
    identity = torch.eye(4, dtype=torch.float64)
    check_base_policy(single_gaussian(torch.zeros(4).double(), identity, horizon=2))
    spec = PolicySpec(ActionSpec(("x", "y"), 8), {"seen": (3,)}, history=2)
    for network in ("mlp", "unet"):
        check_base_policy(DiffusionPolicy.build(spec, network))
    check_cost_function(linear_cost(torch.ones(4)), torch.randn(2, 5, 4))


def test_the_example_plugin():
    check_task(codi_example.PointsTask())
    check_base_policy(codi_example.HomePolicy(codi_example.SPEC))
    trajectory = codi_example.Trajectory(torch.randn(2, 5, 8, 2))
    check_cost_function(codi_example.Gap(), trajectory)
    check_cost_function(codi_example.EarlyMeeting(), trajectory)


class Policy(BasePolicy):
    """Breaks where it is told to."""

    def __init__(self, broken):
        self.spec = PolicySpec(ActionSpec(("a",), 4), {"seen": (2,)})
        self.normaliser = Normaliser.identity(1)
        if broken == "normaliser":
            self.normaliser.decode = lambda flat: 2 * flat
        self.broken = broken

    def denoiser(self, observation):
        seen = observation["seen"][:, -1].sum(-1)
        seen = seen.mean(0, keepdim=True) if self.broken == "batch" else seen

        def denoise(noisy, sigma):
            level = sigma.reshape(-1, *[1] * (noisy.ndim - 1))
            prior = seen.reshape(-1, *[1] * (noisy.ndim - 1))
            denoised = (noisy + level.square() * prior) / (1 + level.square())
            return {
                "shape": lambda: denoised[..., :2],
                "finite": lambda: denoised / (level > 1),
                "noise": lambda: denoised + torch.rand(()),
                "samples": lambda: denoised - noisy.mean(1, keepdim=True),
                "level": lambda: denoised + sigma.ndim,
                "gradient": denoised.detach,
            }.get(self.broken, lambda: denoised)()

        return denoise


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("normaliser", "decode"),
        ("shape", "must keep the shape"),
        ("finite", "not finite at sigma"),
        ("noise", "two equal calls differ"),
        ("samples", "disagree"),
        ("level", r"\(\) and as \(B,\)"),
        ("batch", "alone differs"),
        ("gradient", "not differentiable"),
    ],
)
def test_broken_policies(broken, message):
    check_base_policy(Policy(None))
    refused(check_base_policy, Policy(broken), message)


class Cost(CostFunction):
    def __init__(self, value):
        self.value = value

    def __call__(self, trajectory):
        return self.value(trajectory)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda t: t.sum(-1).mean(1), r"shape \(2,\); it must return .* \(2, 5\)"),
        (lambda t: 1.0, "returned 1.0"),
        (lambda t: t.sum(-1) > 0, "not floating point"),
        (lambda t: t.sum(-1) * torch.nan, "NaN for all"),
        (lambda t: t.mul_(2).sum(-1), "changed the trajectory"),
        (lambda t: t.sum(-1) + torch.rand(()), "two equal calls differ"),
        (lambda t: t.sum(-1) - t.sum(-1)[:, :1], "depends on the other samples"),
        (lambda t: t.sum(-1) + t.sum(-1).mean(1, keepdim=True)[:1], "sample's|other worlds"),
    ],
)
def test_broken_costs(value, message):
    example = torch.randn(2, 5, 4)
    refused(lambda cost: check_cost_function(cost, example), Cost(value), message)


class Posterior(PosteriorApproximation):
    def __init__(self, samples):
        self.samples = samples

    def draw(self, query, count):
        noise = query.context.noise.normal(count, query.noisy.shape[-1])
        mean = query.denoised.unsqueeze(1)
        drawn = self.samples(mean, query.sigma_column() * noise, query)
        return drawn if isinstance(drawn, PosteriorSamples) else PosteriorSamples(drawn)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (lambda mean, noise, query: mean, r"wanted are \(3, 5, 4\)"),
        (lambda mean, noise, query: mean + noise / 0, "not finite"),
        (lambda mean, noise, query: PosteriorSamples(mean + noise, noise), "log_weights"),
        (lambda mean, noise, query: mean + torch.rand_like(noise), "two results"),
        (lambda mean, noise, query: mean + 0 * noise, "changes nothing"),
        (lambda mean, noise, query: mean.mean(0) + noise, "alone differs"),
        (lambda mean, noise, query: mean + noise + 1, "misses"),
    ],
)
def test_broken_posteriors(samples, message):
    check_posterior(Posterior(lambda mean, noise, query: mean + noise))
    refused(check_posterior, Posterior(samples), message)


@attrs.frozen
class Wrong(Sampler):
    """Changes what a right sampler does."""

    change: object
    schedule: object = SCHEDULE

    def sample(self, denoiser, size, context):
        return self.change(AncestralSampler(SCHEDULE), denoiser, size, context)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, d, n, c: s.sample(d, n, c)[:, :2], r"not \(B, size\)"),
        (lambda s, d, n, c: s.sample(d, n, c) + 0.05 * c.noise.normal(n), "without noise"),
        (lambda s, d, n, c: d(s.sample(d, n, c), torch.tensor(90.0)), "outside its schedule"),
        (lambda s, d, n, c: d(torch.randn(c.worlds, n), torch.tensor(1.0)), "one seed"),
        (lambda s, d, n, c: d(torch.zeros(c.worlds, n), torch.tensor(1.0)), "changes nothing"),
        (lambda s, d, n, c: mixed(s.sample(d, n, c)), "alone differs"),
        (lambda s, d, n, c: d(2 + c.noise.normal(n), torch.tensor(0.1)), "the mean"),
        (lambda s, d, n, c: d(0.2 * c.noise.normal(n), torch.tensor(0.1)), "deviations"),
    ],
)
def test_broken_samplers(change, message):
    refused(check_sampler, Wrong(change), message)


def mixed(flat):
    return flat + 0.1 * (flat.mean(0) - flat[0])


def test_a_sampler_needs_a_schedule():
    refused(check_sampler, Wrong(None, None), "schedule must be")


class Skewed(Guidance):
    """Changes what a right guidance adds."""

    temperature = 1.0

    def __init__(self, change, evaluate=None):
        self.change = change
        self.evaluate = evaluate or (lambda cost: cost)

    def guide(self, denoiser, evaluate, context):
        inner = MonteCarloGuidance(IsotropicPosterior(), 16, 1.0)
        guided = inner.guide(denoiser, lambda flat: self.evaluate(evaluate(flat)), context)

        def skewed(noisy, sigma):
            plain = denoiser(noisy, sigma)
            return plain + self.change(guided(noisy, sigma) - plain)

        return skewed


@pytest.mark.parametrize(
    ("change", "evaluate", "message"),
    [
        (lambda shift: shift[..., :2], None, "maps|must match"),
        (lambda shift: shift / 0, None, "not finite"),
        (lambda shift: shift + 0.5, None, "constant cost guides"),
        (lambda shift: shift, torch.square, "adding a constant"),
        (lambda shift: shift * torch.rand(()), None, "one seed|adding a constant"),
        (lambda shift: -shift, None, "raises the cost"),
        (lambda shift: shift.mean(0, keepdim=True).expand_as(shift), None, "alone differs"),
    ],
)
def test_broken_guidances(change, evaluate, message):
    with pytest.raises((ConformanceError, RuntimeError), match=message):
        check_guidance(Skewed(change, evaluate))


def test_a_guidance_that_does_not_survive_lost_costs():
    class Fragile(Guidance):
        temperature = 1.0

        def guide(self, denoiser, evaluate, context):
            def guided(noisy, sigma):
                denoised = denoiser(noisy, sigma)
                samples = denoised.unsqueeze(1) + sigma * context.noise.normal(8, 4)
                weights = (-evaluate(samples)).softmax(-1) - 1 / 8
                return denoised + (weights.unsqueeze(-1) * samples).sum(1)

            return guided

    refused(check_guidance, Fragile(), "all nan")


class BrokenTask(codi_example.PointsTask):
    """The example's task with other parts."""

    def __init__(self, changes, costs=None):
        self.changes, self.own = changes, costs

    def parts(self, options):
        return attrs.evolve(super().parts(options), **self.changes)

    def costs(self):
        return self.own or super().costs()


class Drifting(codi_example.PointsWorld):
    """Each reset is another world."""

    def reset(self, episodes, rows=None):
        step = super().reset(episodes, rows)
        return attrs.evolve(step, observation={"offsets": torch.rand(2, 2)})


class Late(codi_example.PointsWorld):
    def step(self, actions):
        return attrs.evolve(super().step(actions), time=0.0)


class Flat(codi_example.PointsWorld):
    def _look(self):
        return attrs.evolve(super()._look(), events={"positions": np.zeros(())})


class Wrapped(codi_example.PointsWorld):
    """Its state can't be taken apart."""

    def _look(self):
        step = super()._look()
        return attrs.evolve(step, state={"positions": step.state})


class Meddling(codi_example.ExactPredictor):
    """The worlds of a batch affect one another."""

    def predict(self, state, chunks):
        positions = state["positions"]
        return super().predict(positions + positions.mean(0), chunks)


class Remembering(codi_example.ExactPredictor):
    """Knows the very states that it has seen."""

    def __init__(self):
        self.seen = {}

    def predict(self, state, chunks):
        number = self.seen.setdefault(id(state), (len(self.seen), state))[0]
        return super().predict(state["positions"] * (1 + number), chunks)


class Scoreless(codi_example.PointsMetrics):
    def episode(self, events, dt):
        return {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"default_costs": {"gab": 1.0}}, "'gab', which costs"),
        ({"predictors": {}}, "no predictor"),
        ({"environment": lambda resources: Drifting(codi_example.Options())}, "two resets"),
        ({"environment": lambda resources: Late(codi_example.Options())}, "time is"),
        ({"environment": lambda resources: Flat(codi_example.Options())}, "must begin"),
        (
            {
                "environment": lambda resources: Wrapped(codi_example.Options()),
                "predictors": {"exact": lambda resources: Meddling()},
            },
            "what it asks for must be in its state",
        ),
        (
            {
                "environment": lambda resources: Wrapped(codi_example.Options()),
                "predictors": {"exact": lambda resources: Remembering()},
            },
            "a state that was pickled predicts otherwise",
        ),
        ({"agents": ("left",)}, "names 1 agents"),
        ({"rate_hz": 20.0}, "20.0 Hz"),
        ({"metrics": Scoreless()}, "lacks 'success'"),
    ],
)
def test_broken_tasks(changes, message):
    refused(check_task, BrokenTask(changes), message)


def test_tasks_with_broken_costs_and_options():
    refused(check_task, BrokenTask({}, {"gap": dict}), "made a dict")
    refused(
        check_task, BrokenTask({}, {"gap": lambda: Cost(lambda t: t.gap()[..., -1] / 0 * 0)}), "NaN"
    )
    task = codi_example.PointsTask()
    task.Options = dict
    refused(check_task, task, "attrs class")


def test_the_library_needs_no_layout():
    """Guidances work without what the coordinated policy fills in."""
    check_guidance(LibraryGuidance(16, 0.5))
