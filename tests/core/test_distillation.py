"""Students: what they sample, what they are compared by, and what takes them."""

from __future__ import annotations

import copy
import math

import attrs
import pytest
import torch

from codi_core.composition import BestOf
from codi_core.costs import CostFunction
from codi_core.errors import CheckpointError, SpecificationError
from codi_core.planning import Descent, NoiseSource, PlanContext
from codi_core.policies import (
    ActionSpec,
    Batch,
    DiffusionPolicy,
    Factor,
    Normaliser,
    PolicySpec,
    ProductPolicy,
    ProductSampler,
    Student,
)
from codi_core.samplers import AncestralSampler, DpmSolverSampler, KarrasSchedule
from codi_core.testing import (
    GaussianMixture,
    MixturePolicy,
    PassThroughPredictor,
    action_spec,
    mode_shares,
    single_gaussian,
)
from codi_core.training import Trainer, TrainerSettings, load_checkpoint, save_checkpoint
from codi_core.training.checkpoint import checkpoint_digest, read_tensors, write_tensors
from codi_core.training.distillation import Check, step_loss
from codi_core.training.likeness import energy_distance, group_means, likeness
from codi_core.training.ode_paths import POOL, FreshPaths, ReusedPaths, Solver, StandIn
from codi_core.training.students import load_student, save_student, students_of

SPEC = PolicySpec(ActionSpec(("x", "y"), 2), {"state": (3,)})


def network(spec=SPEC, seed=0, width=16, depth=1, normaliser=None):
    torch.manual_seed(seed)
    return DiffusionPolicy.build(spec, "mlp", normaliser, width=width, depth=depth)


def observation(worlds, size=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {"state": torch.randn(worlds, 1, size, generator=generator)}


def test_the_solver_ends_where_the_ode_of_a_gaussian_does():
    """From a_t the ODE of N(μ, s²) ends in μ + (a_t - μ) s/√(s² + t²), passing that."""
    mean, deviation = torch.tensor([0.5, -1.0]).double(), 0.4
    policy = single_gaussian(mean, deviation**2 * torch.eye(2).double())
    solver = Solver.of(policy, 48)
    noise = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    *passed, end = solver.points({}, noise)
    expected = mean + (passed[0] - mean) * deviation / math.hypot(deviation, 40)
    assert torch.allclose(end.double(), expected, atol=0.01)
    middle = float(solver.levels[30])
    ratio = math.hypot(deviation, middle) / math.hypot(deviation, 40)
    assert torch.allclose(passed[30].double(), mean + (passed[0] - mean) * ratio, atol=0.01)
    context = PlanContext(NoiseSource([(0, 0, 0)] * 64), {}, ProductPolicy([one(policy)]).layout)
    start = solver.levels[0] * noise
    integrated = DpmSolverSampler().integrate(
        policy.denoiser({}), start, Descent(solver.levels), context
    )
    assert torch.equal(integrated, end)


def one(policy, agent=0):
    return Factor(policy, (agent,), lambda joint: joint)


class States:
    """Batches of random states."""

    def sample(self, generator, size):
        states = torch.empty(size, 1, 1).normal_(generator=generator)
        return Batch({"observed": states}, torch.zeros(size, 1, 2))

    def state(self):
        return {}

    def restore(self, state):
        pass


WEIGHTS = torch.tensor([0.5, 0.3, 0.2]).double()
MEANS = torch.tensor([[-1.5, 0.0], [1.0, 1.0], [1.0, -1.2]]).double()
DEVIATION, GAIN = 0.25, 0.5


def mixture_policy():
    covariances = DEVIATION**2 * torch.eye(2).double().expand(3, 2, 2)
    mixture = GaussianMixture.from_covariances(WEIGHTS, MEANS, covariances)
    return MixturePolicy(mixture, action_spec(1, 2), gain=torch.full((2, 1), GAIN).double())


@pytest.mark.slow
@pytest.mark.parametrize("starts", [(0,), (0, 8)])
def test_a_student_has_the_modes_of_a_mixture(tmp_path, starts):
    """A small MLP learns weights to 0.03, means to 1/4 of the deviation, variances to 20 %."""
    policy = mixture_policy()
    solver = Solver.of(policy, 16)
    levels = [float(solver.levels[start]) for start in starts]
    student = Student(network(policy.spec, width=64, depth=2), levels)
    settings = TrainerSettings(1200, 128, learning_rate=3e-3, warm_up=50)
    paths = FreshPaths(States(), solver, starts)
    trainer = Trainer(student, step_loss, paths, settings, tmp_path)
    assert trainer.run()
    assert_samples_like(policy, trainer.averaged)
    rows = Check.of(policy, States(), 32, 64).report(trainer.averaged, len(starts))["rows"]
    found = {(row["samples_of"], row["calls"]): row["energy_distance"] for row in rows}
    assert found["teacher", 24] < 0.01 and found["student", len(starts)] < 0.02
    assert found["teacher", 1] > 0.3


@pytest.mark.slow
def test_a_student_with_another_network_learns_from_one_that_stands_in(tmp_path):
    """A small U-Net learns the same mixture of an MLP's paths, each of which it sees twice."""
    policy = mixture_policy()
    solver = Solver.of(policy, 16)
    starts = (0, 8)
    levels = [float(solver.levels[start]) for start in starts]
    first = Student(network(policy.spec, width=64, depth=2), levels)
    settings = TrainerSettings(1200, 128, learning_rate=3e-3, warm_up=50)
    trainer = Trainer(
        first, step_loss, FreshPaths(States(), solver, starts), settings, tmp_path / "first"
    )
    assert trainer.run()
    stand_in = StandIn(trainer.averaged)
    assert stand_in.levels.tolist() == pytest.approx([*levels, 0.0])
    torch.manual_seed(1)
    unet = DiffusionPolicy.build(policy.spec, "unet", widths=(32,), kernel=1)
    paths = ReusedPaths(FreshPaths(States(), stand_in, (0, 1)), 2)
    trainer = Trainer(Student(unet, levels), step_loss, paths, settings, tmp_path / "second")
    assert trainer.run()
    assert_samples_like(policy, trainer.averaged)


def assert_samples_like(policy, student):
    """In each of three states a student's samples are those of the policy."""
    noise = torch.randn(1, 8000, 2, generator=torch.Generator().manual_seed(1))
    for state in (-1.0, 0.0, 1.0):
        with torch.no_grad():
            samples = student.sample({"observed": torch.full((1, 1, 1), state)}, noise)
        mixture = policy.mixture.shifted(torch.full((2,), GAIN * state).double())
        assert_like(samples[0].double(), mixture)


def assert_like(samples, mixture):
    assert torch.allclose(mode_shares(samples, mixture), WEIGHTS, atol=0.03)
    nearest = mixture.responsibilities(samples, 1e-2).argmax(-1)
    for mode, mean in enumerate(mixture.means):
        own = samples[nearest == mode]
        # The few in between belong to no mode.
        own = own[(own - mean).norm(dim=-1) < 4 * DEVIATION]
        assert torch.allclose(own.mean(0), mean, atol=DEVIATION / 4)
        assert torch.allclose(own.var(0) / DEVIATION**2, torch.ones(2).double(), atol=0.2)


def paths_of(starts=(0,), calls=4):
    policy = mixture_policy()
    return FreshPaths(States(), Solver.of(policy, calls), starts)


def test_no_path_comes_twice():
    generator = torch.Generator().manual_seed(0)
    paths = paths_of((0, 2))
    first, second = paths.sample(generator, 8), paths.sample(generator, 8)
    assert first.points.shape == (8, 3, 2) and len(first) == 8
    assert len(torch.cat([first.points[:, 0], second.points[:, 0]]).unique(dim=0)) == 16
    ended = paths.maker.points(first.observation, first.points[:, 0] / 40.0)
    assert torch.equal(ended[2], first.points[:, 1]) and torch.equal(ended[-1], first.points[:, 2])
    student = Student(network(mixture_policy().spec), [40.0, 2.0])
    loss = step_loss(student, first, generator)
    assert loss.requires_grad and loss != step_loss(student, second, generator)


def test_reused_paths_come_several_times_and_then_never_again():
    generator = torch.Generator().manual_seed(0)
    size, times = 16, 4
    source = ReusedPaths(paths_of(), times)
    seen = {}
    for step in range(400):
        for start in source.sample(generator, size).points[:, 0].tolist():
            seen.setdefault(tuple(start), []).append(step)
    # What the pool had at its beginning, and what it has now, came for a shorter time.
    whole = [steps for steps in seen.values() if steps[0] > 0 and steps[-1] < 270]
    assert sum(map(len, whole)) / len(whole) == pytest.approx(times, rel=0.2)
    lasting = POOL * times  # so many batches pass before a path is replaced
    assert max(steps[-1] - steps[0] for steps in seen.values()) <= lasting


def test_reused_paths_go_on_as_they_were():
    def drawn(source, generator, steps):
        return [source.sample(generator, 6) for _ in range(steps)]

    generator = torch.Generator().manual_seed(0)
    source = ReusedPaths(paths_of(), 4)
    assert source.state()["pool"] is None
    drawn(source, generator, 5)
    saved, state = copy.deepcopy(source.state()), generator.get_state()
    expected = drawn(source, generator, 5)
    again = ReusedPaths(paths_of(), 4)
    again.restore(saved)
    generator.set_state(state)
    for one, other in zip(expected, drawn(again, generator, 5), strict=True):
        assert torch.equal(one.points, other.points)
        assert torch.equal(one.observation["observed"], other.observation["observed"])


def test_calls_step_from_level_to_level():
    class Shrinking(DiffusionPolicy):
        def denoiser(self, seen):
            return lambda noisy, sigma: noisy / (1 + sigma)

    jump = network()
    jump.__class__ = Shrinking
    student = Student(jump, [9.0, 1.0])
    assert student.noise_size == 4
    noise = torch.randn(2, 5, 4)
    # D + (t'/t) (a_t - D) with D = a_t / (1 + t), from 9 to 1 to 0.
    first = 9 * noise * (0.1 + 0.9 / 9)
    expected = first / 2
    assert torch.allclose(student.sample(observation(2), noise), expected)
    for levels in ([], [1.0, 2.0], [1000.0]):
        with pytest.raises(SpecificationError, match="falling noise levels between"):
            Student(jump, levels)


def test_a_student_is_no_denoiser():
    student = Student(network(), [40.0])
    with pytest.raises(SpecificationError, match="a factor needs a base policy, which has a den"):
        one(student)
    assert not hasattr(student, "denoiser")


def test_energy_distance_is_that_of_each_state():
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(3, 40, 2, generator=generator)
    second = torch.randn(3, 30, 2, generator=generator) + torch.tensor([0.0, 1.0, 3.0]).view(
        3, 1, 1
    )
    each = energy_distance(first, second)
    alone = [energy_distance(a, b) for a, b in zip(first, second, strict=True)]
    assert torch.allclose(each, torch.stack(alone))
    assert abs(float(each[0])) < 0.1 < float(each[1]) < float(each[2])


def test_likeness_tells_modes_and_variances_that_are_lost():
    generator = torch.Generator().manual_seed(0)

    def samples(left, deviation, count=4000):
        side = torch.where(torch.rand(2, count, 1, generator=generator) < left, -5.0, 5.0)
        return side + deviation * torch.randn(2, count, 2, generator=generator)

    reference = samples(0.5, 0.1)
    same, tilted = (likeness(reference, samples(p, 0.1), ["a", "b"]) for p in (0.5, 0.9))
    assert abs(same.energy_distance) < 0.02 and same.mode_difference < 0.05
    assert same.modes_found == 1 and same.variance["b"] == pytest.approx(1.0, abs=0.05)
    assert tilted.mode_difference == pytest.approx(0.4, abs=0.05)
    assert tilted.energy_distance > 0.5
    lost = likeness(reference, samples(1.0, 0.1), ["a", "b"])
    assert lost.modes_found == pytest.approx(0.5, abs=0.05)
    assert lost.variance["a"] == pytest.approx(0.1**2 / (25 + 0.1**2), rel=0.2)
    centres = group_means(reference, 2).sort(1).values
    assert torch.allclose(centres[:, :, 0], torch.tensor([-5.0, 5.0]).expand(2, 2), atol=0.05)


def test_each_factor_draws_with_the_student_of_its_policy():
    two, other = network(seed=1), network(seed=2)
    teachers = {0: two, 1: other, 2: two}
    factors = [
        Factor(policy, (agent,), lambda joint, a=agent: {"state": joint["state"] + a})
        for agent, policy in teachers.items()
    ]
    product = ProductPolicy(factors)
    students = [Student(network(seed=3), [40.0]), Student(network(seed=4), [40.0, 1.0])]
    sampler = ProductSampler(product, students)
    seen = observation(2)

    def context(keys):
        rows = {"state": seen["state"][[key[1] for key in keys]]}
        return PlanContext(NoiseSource(keys), rows, product.layout)

    drawn = sampler.draw(5, context([(0, 0, 0), (0, 1, 0)]))
    assert drawn.shape == (2, 5, 12)
    noise = NoiseSource([(0, 0, 0), (0, 1, 0)]).normal(5, 12)
    parts = zip(
        (students[0], students[1], students[0]),
        (noise[..., :4], noise[..., 4:8], noise[..., 8:]),
        strict=True,
    )
    expected = [
        student.sample({"state": seen["state"] + agent}, part)
        for agent, (student, part) in enumerate(parts)
    ]
    assert torch.allclose(drawn, torch.cat(expected, -1), atol=1e-5)
    alone = sampler.draw(5, context([(0, 1, 0)]))
    assert torch.allclose(alone[0], drawn[1], atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "normaliser", "words"),
    [
        (attrs.evolve(SPEC, history=2), None, "history is 2, the policy's 1"),
        (attrs.evolve(SPEC, observation={"state": (4,)}), None, "observation is"),
        (SPEC, Normaliser(torch.zeros(2), torch.tensor([1.0, 2.0])), "another scale"),
    ],
)
def test_a_student_of_something_else_is_refused(spec, normaliser, words):
    product = ProductPolicy([one(network())])
    student = Student(network(spec, normaliser=normaliser), [40.0])
    with pytest.raises(SpecificationError, match=words):
        ProductSampler(product, [student])


class First(CostFunction):
    """The first action, lower is better."""

    def __call__(self, trajectory):
        return trajectory[..., 0]


def test_the_best_of_a_students_samples_is_planned():
    policy, jump = network(seed=1), network(seed=2)
    product = ProductPolicy([one(policy)])
    student = Student(jump, [40.0])
    sampler = AncestralSampler(KarrasSchedule(4))
    planner = BestOf(
        product,
        sampler,
        PassThroughPredictor(),
        First(),
        8,
        student=ProductSampler(product, [student]),
    )
    seen = observation(1)
    plan = planner.plan(PlanContext(NoiseSource([(0, 0, 0)]), seen, product.layout))
    samples = student.sample(seen, NoiseSource([(0, 0, 0)]).normal(8, 4))[0]
    assert torch.allclose(plan.flat[0], samples[samples[:, 0].argmin()], atol=1e-5)


@pytest.fixture
def teacher(tmp_path):
    path = tmp_path / "teacher.safetensors"
    save_checkpoint(network(seed=1), path)
    return path


def kept(path, seed=2, teacher="0" * 64, levels=(40.0, 1.5)):
    save_student(Student(network(seed=seed), levels), path, teacher, {"training": {"seed": 3}})
    return path


def test_a_checkpoint_is_the_student_again(tmp_path):
    path = kept(tmp_path / "student.safetensors")
    student = load_student(path)
    noise = torch.randn(2, 3, 4)
    seen = observation(2)
    expected = Student(network(seed=2), [40.0, 1.5]).sample(seen, noise)
    assert student.levels == (40.0, 1.5) and torch.allclose(student.sample(seen, noise), expected)
    assert not any(parameter.requires_grad for parameter in student.parameters())


def test_students_and_policies_are_not_taken_for_each_other(tmp_path, teacher):
    path = kept(tmp_path / "student.safetensors")
    with pytest.raises(
        CheckpointError, match=r"is a student: it draws samples, and is no denoiser"
    ):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="is the checkpoint of no student: codi-distil makes"):
        load_student(teacher)


def test_students_are_found_by_their_teachers(tmp_path, teacher):
    policy = load_checkpoint(teacher)
    product = ProductPolicy([one(policy)])
    own = checkpoint_digest(teacher)
    assert policy.digest == own
    folder = tmp_path / "students"
    kept(folder / "checkpoint-5.safetensors", 5, own)
    kept(folder / "checkpoint.safetensors", 6, own)
    save_checkpoint(network(seed=7), folder / "policy.safetensors")
    found = students_of(product, folder).students[0]
    state = network(seed=6).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in found.jump.state_dict().items())
    other = kept(tmp_path / "others" / "other.safetensors", 5, "f" * 64)
    with pytest.raises(
        CheckpointError, match="distilled from another policy: the teacher's sha256"
    ):
        students_of(product, other)
    with pytest.raises(CheckpointError, match="a DiffusionPolicy that is from no checkpoint"):
        students_of(ProductPolicy([one(copy.deepcopy(network(seed=1)))]), other)
    with pytest.raises(CheckpointError, match="is the checkpoint of no student"):
        students_of(product, teacher)
    with pytest.raises(CheckpointError, match="has no student"):
        students_of(product, tmp_path)
    with pytest.raises(CheckpointError, match="does not exist: codi-distil makes one"):
        students_of(product, tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("levels", [None, [], [1.0, 2.0], "high", [40.0, "low"]])
def test_a_damaged_student_is_named(tmp_path, levels):
    from codi_core.training import read_metadata

    path = kept(tmp_path / "student.safetensors")
    metadata, tensors = read_metadata(path), read_tensors(path)
    metadata.pop("levels")
    if levels is not None:
        metadata["levels"] = levels
    write_tensors(path, tensors, metadata)
    with pytest.raises(CheckpointError, match="does not describe a student"):
        load_student(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        load_student(path)


def test_shipped_students_are_taken_where_they_are_of_these_policies(tmp_path, teacher):
    policy, own = load_checkpoint(teacher), checkpoint_digest(teacher)
    product, two = (
        ProductPolicy([one(policy)]),
        ProductPolicy([one(policy), one(network(seed=9), 1)]),
    )
    shipped = [
        kept(tmp_path / "students" / "other.safetensors", 4, "f" * 64),
        kept(tmp_path / "students" / "own.safetensors", 6, own),
    ]
    found = students_of(product, "shipped", shipped)
    expected = network(seed=6).state_dict()
    state = found.students[0].jump.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in expected.items())
    for nothing in (
        students_of(product, "none", shipped),
        students_of(product, "shipped"),
        students_of(product, "shipped", shipped[:1]),
        students_of(two, "shipped", shipped),
    ):
        assert nothing is None
    shipped[1].write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"own\.safetensors"):
        students_of(product, "shipped", shipped)
