"""The stand-in for a second device, and everything that plans on it."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

import codi_core.costs.terms as terms_module
from codi_core.costs import CostTerm, CostTerms, WeightedCost
from codi_core.errors import SpecificationError
from codi_core.execution.devices import copied_chunks, on_host, to_device_together
from codi_core.guidance import FactoredGuidance
from codi_core.host.discovery import CORE
from codi_core.host.plugins import load_plugins
from codi_core.host.records import MethodParts
from codi_core.planning import NoiseSource, PlanContext
from codi_core.policies import (
    ActionSpec,
    DiffusionPolicy,
    EpsilonPolicy,
    Factor,
    Normaliser,
    PolicySpec,
    ProductPolicy,
)
from codi_core.posteriors import (
    DataCovariancePosterior,
    IsotropicPosterior,
    PosteriorApproximation,
    PosteriorSamples,
)
from codi_core.samplers import AncestralSampler, KarrasSchedule
from codi_core.testing import (
    ConformanceError,
    DeviceError,
    ExactGuidance,
    ExactPosterior,
    LocalQuadraticCost,
    TrajectoryFamily,
    check_device,
    device_waits,
    second_device,
)
from tests.core.estimators.problems import gaussian_problem

HOST = load_plugins()
FAMILY = TrajectoryFamily(agents=3, steps=4, group=3, rank=4, tolerance=0.5)
KEYS = [(0, world, 0) for world in range(2)]


# -- the stand-in -------------------------------------------------------------------------------


def test_tensors_of_the_second_device_have_values_and_say_where_they_are():
    with second_device() as device:
        x = torch.arange(6.0, device=device).reshape(2, 3)
        assert x.device == device != torch.device("cpu")
        assert (x @ x.mT).tolist() == [[5.0, 14.0], [14.0, 50.0]]
        assert float(x.sum()) == 15.0 and bool((x >= 0).all())
        assert torch.equal((x + 1).cpu(), torch.arange(6.0).reshape(2, 3) + 1)
        assert torch.tensor([1.0, 2.0], device=device).tolist() == [1.0, 2.0]
        assert x.new_tensor([1, 2]).tolist() == [1.0, 2.0]
        alike = (x.new_zeros(2), x.new_tensor([1]), torch.ones_like(x))
        for made in (*alike, x[0], x.double(), torch.stack([x, x])):
            assert made.device == device
        assert x[:, [2, 0]].tolist() == [[2.0, 0.0], [5.0, 3.0]]
        row = x[0]
        row.add_(10.0)
        assert x.tolist() == [[10.0, 11.0, 12.0], [3.0, 4.0, 5.0]]
        assert torch.ones(2).device == torch.device("cpu")
    assert torch.empty(2, device="meta").is_meta


def test_gradients_of_all_kinds_work_there():
    with second_device() as device:
        layer = torch.nn.Linear(3, 2).to(device)
        x = torch.ones(4, 3, device=device)
        layer(x).square().sum().backward()
        assert layer.weight.grad is not None and layer.weight.grad.device == device
        _, change = torch.func.jvp(lambda point: point.square(), (x,), (x,))
        assert change.tolist() == [[2.0] * 3] * 4
        columns = torch.func.vmap(
            lambda tangent: torch.func.jvp(layer, (x,), (tangent.expand_as(x),))[1]
        )(torch.eye(3, device=device))
        assert torch.equal(columns[:, 0].mT.cpu(), layer.weight.detach().cpu())


@pytest.mark.parametrize(
    "mixing",
    [
        lambda here, there: here + there,
        lambda here, there: torch.where(there > 0, here, 0.0),
        lambda here, there: torch.cat([here, there]),
        lambda here, there: here @ there,
        lambda here, there: there[here.long()],
        lambda here, there: here.gather(0, there.long()),
        lambda here, there: there.add_(here),
        lambda here, there: here.numpy(),
        lambda here, there: np.asarray(here),
    ],
)
def test_what_a_gpu_refuses_is_refused(mixing):
    with second_device() as device, pytest.raises(DeviceError):
        mixing(torch.ones(3, device=device), torch.ones(3))


def test_what_a_gpu_allows_is_allowed():
    with second_device() as device:
        here, there = torch.zeros(3, device=device), torch.arange(3.0)
        assert (here + torch.tensor(2.0)).tolist() == [2.0] * 3
        here.copy_(there)
        assert here[torch.tensor([2, 0])].tolist() == [2.0, 0.0]
        here[torch.tensor([1])] = 5.0
        assert (here + there.to(device)).tolist() == [0.0, 6.0, 4.0]
        there.copy_(here)
        assert there.tolist() == [0.0, 5.0, 2.0]


@attrs.frozen
class Forgetful(PosteriorApproximation):
    """Draws around the mean, with a constant of the CPU."""

    result: bool = False

    def draw(self, query, count):
        if self.result:
            return PosteriorSamples(query.denoised.unsqueeze(1).expand(-1, count, -1).cpu())
        widths = torch.ones(query.denoised.shape[-1])
        return PosteriorSamples((query.denoised * widths).unsqueeze(1).expand(-1, count, -1))


def test_a_part_that_forgets_the_device_is_found_out():
    def guided(posterior):
        def run(device):
            problem = gaussian_problem().to(device)
            guidance = HOST.guidances.get("monte-carlo").factory(
                posterior=posterior, samples=4, temperature=1.0
            )
            planner = problem.coordinated(guidance, AncestralSampler(KarrasSchedule(2)))
            return planner.plan(problem.context(2)).flat

        return run

    check_device(guided(IsotropicPosterior()))
    with pytest.raises(DeviceError, match=r"aten::mul mixes .* of shape \(6,\)"):
        check_device(guided(Forgetful()))
    with pytest.raises(SpecificationError, match=r"samples on the device cpu; it must be on meta"):
        check_device(guided(Forgetful(result=True)))


def test_results_must_be_there_and_agree():
    check_device(lambda device: (torch.ones(2, device=device), torch.zeros(1, device=device)))
    with pytest.raises(ConformanceError, match=r"shape \(2,\) is on cpu"):
        check_device(lambda device: torch.ones(2))
    with pytest.raises(ConformanceError, match="differs"):
        check_device(lambda device: torch.full((2,), float(device == "cpu"), device=device))
    with pytest.raises(ConformanceError, match="tensors"):
        check_device(lambda device: 1.0)


def test_tensors_come_to_the_host_in_one_copy_as_they_are():
    values = {
        "flags": torch.tensor([True, False, True]),
        "singles": torch.tensor([[0.1, -torch.inf], [torch.nan, 3.0]]).mT,
        "nothing": torch.zeros(0, 2),
        "wide": torch.tensor(2.0**-1074, dtype=torch.float64),
        "numbers": torch.arange(7, dtype=torch.int16),
    }
    with second_device() as device:
        there = {name: value.to(device) for name, value in values.items()}
        with device_waits() as waits:
            found = on_host(there)
        assert len(waits) == 1
    assert list(found) == list(values)
    for name, value in values.items():
        np.testing.assert_array_equal(found[name], value.numpy())
        assert found[name].dtype == value.numpy().dtype


def test_small_tensors_travel_together_and_stay_what_they_are():
    given = {
        "numbers": torch.arange(6.0).view(2, 3).T,
        "number": torch.tensor(7.0),
        "none": torch.zeros(0, 4),
        "flags": torch.tensor([True, False]),
        "many": torch.arange(20_000.0),
    }
    with second_device() as device:
        with device_waits() as waits:
            there = to_device_together([given, {"again": given["number"]}], device)
        assert len(waits) == 3  # of the small numbers, of the flags, and of the many
        for name, value in [*there[0].items(), ("number", there[1]["again"])]:
            assert (value.device, value.dtype) == (device, given[name].dtype)
            assert torch.equal(value.cpu(), given[name])


def test_chunks_are_copied_together():
    chunks = torch.arange(12.0).view(1, 2, 6).split([1, 2, 3], -1)
    copies = copied_chunks(chunks)
    assert all(map(torch.equal, copies, chunks))
    chunks[0].zero_()
    assert copies[0].flatten().tolist() == [0.0, 6.0]
    with second_device() as device:
        moved = copied_chunks(copies, device)
        assert all(chunk.device == device for chunk in moved)
        with device_waits() as waits:
            back = copied_chunks([chunk[:, 1:] for chunk in moved], "cpu")
        assert len(waits) == 1
        assert back[2].tolist() == [[[9.0, 10.0, 11.0]]]


def test_on_the_cpu_arrays_share_the_memory_of_tensors():
    value = torch.zeros(3)
    array = on_host({"value": value})["value"]
    value[1] = 2.0
    assert array.tolist() == [0.0, 2.0, 0.0]


# -- what plans ---------------------------------------------------------------------------------


def names(kind):
    """All that is registered; of methods the core's own, others may ask more of a task."""
    records = getattr(HOST, kind)
    return [
        record.name
        for record in records
        if kind != "methods" or records.origin(record.name) == CORE
    ]


def run_of(
    method="codi",
    guidance="monte-carlo",
    posterior="matched",
    sampler="ancestral",
    options=None,
    previous=None,
):
    """Plans with registered parts on a device, by a local cost."""
    options = options or {}

    def make(kind, name, *args, **given):
        return getattr(HOST, kind).get(name).factory(*args, **given, **options.get(kind, {}))

    def run(device):
        problem = FAMILY.problem().to(device)
        cost = LocalQuadraticCost(problem.cost, problem.product.blocks)
        scale = {"samples": 8, "temperature": problem.temperature}
        parts = MethodParts(
            problem.product,
            problem.predictor,
            WeightedCost((CostTerm("cost", cost, 0.5),)),
            make("guidances", guidance, posterior=make("posteriors", posterior), **scale),
            make("samplers", sampler, schedule=KarrasSchedule(4)),
            **scale,
        )
        context = problem.context_of(KEYS)
        if previous is not None:
            before = torch.full((len(KEYS), problem.size), previous, device=device)
            context = attrs.evolve(context, previous=before, committed=1)
        plan = make("methods", method, parts).plan(context)
        return plan.flat, plan.chunks

    return run


@pytest.mark.parametrize("method", names("methods"))
@pytest.mark.parametrize("sampler", names("samplers"))
def test_every_method_and_sampler_plans_there(method, sampler):
    options = {"samplers": {"cold": 0.5}} if sampler == "warm-start" else {}
    check_device(run_of(method, sampler=sampler, options=options))
    check_device(run_of(method, sampler=sampler, options=options, previous=0.3))


@pytest.mark.parametrize("posterior", names("posteriors"))
@pytest.mark.parametrize("guidance", names("guidances"))
def test_every_guidance_and_posterior_plans_there(guidance, posterior):
    check_device(run_of(guidance=guidance, posterior=posterior))


@pytest.mark.parametrize(
    ("guidance", "given"),
    [
        ("monte-carlo", {"ess": 0.3}),
        ("library", {"ess": 0.3}),
        ("factored", {"hops": 1, "ess": 0.3}),
        ("factored", {"hops": 2}),
        ("hybrid", {"switch": 2.0, "ess": 0.1}),
        ("reparameterized", {"ess": 0.3}),
    ],
)
def test_guidances_with_options_plan_there(guidance, given):
    check_device(run_of(guidance=guidance, options={"guidances": given}, sampler="warm-start"))
    check_device(run_of(guidance=guidance, options={"guidances": given}, previous=0.1))


@pytest.mark.parametrize("samples", [None, torch.eye(6)])
def test_a_covariance_that_is_given_is_moved(samples):
    def run(device):
        problem = gaussian_problem().to(device)
        posterior = DataCovariancePosterior(samples)
        guidance = FactoredGuidance(posterior, 8, problem.temperature)
        planner = problem.coordinated(guidance, AncestralSampler(KarrasSchedule(3)))
        planner.cost = LocalQuadraticCost(problem.cost, problem.product.blocks)
        return planner.plan(problem.context(2)).flat

    check_device(run)


def test_exact_parts_plan_there():
    def run(device):
        problem = gaussian_problem().to(device)
        exact = ExactPosterior(problem.product)
        sampler = AncestralSampler(KarrasSchedule(3))
        guidance = HOST.guidances.get("monte-carlo").factory(
            posterior=exact, samples=8, temperature=1.0
        )
        return (
            problem.coordinated(guidance, sampler).plan(problem.context(2)).flat,
            problem.coordinated(ExactGuidance(problem.oracle), sampler)
            .plan(problem.context(2))
            .flat,
        )

    check_device(run)


# -- policies -----------------------------------------------------------------------------------


SPEC = PolicySpec(ActionSpec(("x", "y"), 8), {"seen": (3,)}, history=2)


class Predicts(torch.nn.Module):
    """A noise predictor."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([0.5]))

    def encode(self, observation):
        return observation["seen"].flatten(1)

    def forward(self, noisy, step, embedding):
        return self.scale * noisy + step[:, None, None] * embedding.mean(-1)[:, None, None]


def diffusion(network, options):
    torch.manual_seed(0)
    policy = DiffusionPolicy.build(
        SPEC, network, Normaliser(torch.zeros(2), torch.full((2,), 3.0)), **options
    )
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return policy


def epsilon(fractional):
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.05, 100), 0)
    return EpsilonPolicy(SPEC, Normaliser.identity(2), Predicts(), kept, fractional=fractional)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (diffusion, ("mlp", {"width": 16, "depth": 1})),
        (diffusion, ("unet", {"widths": (16, 32)})),
        (epsilon, (True,)),
        (epsilon, (False,)),
    ],
)
@pytest.mark.parametrize("posterior", ["matched", "jacobian"])
def test_policies_denoise_there(make, arguments, posterior):
    """Two agents share one policy, another one has its own: both ways through the product."""

    def run(device):
        shared, alone = (make(*arguments).to(device) for _ in range(2))
        product = ProductPolicy(
            [
                Factor(policy, (agent,), lambda seen: seen)
                for agent, policy in enumerate((shared, alone, shared))
            ]
        )
        seen = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(1)).to(device)
        context = PlanContext(NoiseSource(KEYS, device), {"seen": seen}, product.layout)
        problem = FAMILY.problem()
        guidance = HOST.guidances.get("monte-carlo").factory(
            posterior=HOST.posteriors.get(posterior).factory(), samples=4, temperature=1.0
        )
        sampler = AncestralSampler(KarrasSchedule(3, 2.0, 0.1))
        planner = HOST.methods.get("codi").factory(
            MethodParts(product, problem.predictor, Squares(), guidance, sampler, 4, 1.0)
        )
        plan = planner.plan(context)
        return plan.flat, product.encode(plan.chunks)

    check_device(run)


class Squares:
    def __call__(self, trajectory):
        return trajectory.square().sum(-1)


def test_the_streams_of_worlds_can_be_silenced_there():
    with second_device() as device:
        noise = NoiseSource(KEYS, device)
        with noise.only(torch.tensor([False, True], device=device)):
            drawn = noise.normal(3)
        assert drawn.device == device
        assert drawn[0].tolist() == [0.0] * 3 and bool((drawn[1] != 0).all())


def test_terms_are_summed_there():
    def run(device):
        values = torch.arange(12.0, device=device).reshape(4, 3)
        world = torch.tensor([0, 0, 1, 1], device=device)
        members = torch.tensor([[0, 1], [2, 2], [0, 2], [1, 1]], device=device)
        terms = CostTerms(values, world, members, 2)
        sums = [terms.within(3, hops) for hops in range(3)]
        return (*sums, terms.within(3, 0, [0, 1, 0]), terms.total())

    check_device(run)


@pytest.mark.parametrize("at_once", [1, 13, 2**26])
def test_terms_within_hops_are_the_same_there_however_many_fit_at_once(at_once, monkeypatch):
    monkeypatch.setattr(terms_module, "AT_ONCE", at_once)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(30, 4, generator=generator)
    values[3, 1], values[7, 2] = torch.inf, torch.nan
    world = torch.randint(3, (30,), generator=generator)
    members = torch.randint(9, (30, 2), generator=generator)

    def run(device):
        terms = CostTerms(values.to(device), world.to(device), members.to(device), 3)
        return terms.within(9, 1), terms.within(9, 1, [0, 0, 1, 2, 2, 2, 3, 3, 1])

    with second_device() as device:
        for found, expected in zip(run(device), run("cpu"), strict=True):
            torch.testing.assert_close(found.cpu(), expected, equal_nan=True)
