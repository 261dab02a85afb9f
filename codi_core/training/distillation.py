"""Distillation: a student that takes the probability-flow ODE of its teacher in one step or two."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.data import DemonstrationDataset, Segments, split_episodes
from codi_core.errors import CheckpointError, DatasetError
from codi_core.planning import Descent, NoiseSource, Observation
from codi_core.policies import BasePolicy, Batch, ChunkSampler, DiffusionPolicy, Student
from codi_core.samplers import DpmSolverSampler, KarrasSchedule
from codi_core.training.checkpoint import load_checkpoint, read_metadata
from codi_core.training.distillation_settings import DistillationSettings
from codi_core.training.imitation import data_entry, windows_of
from codi_core.training.likeness import energy_distance, likeness
from codi_core.training.parts import TrainingParts
from codi_core.training.students import describe_student, save_student
from codi_core.training.trainer import BatchSource

SIGMA_MAX, SIGMA_MIN, RHO = 40.0, 0.05, 7.0
"""The noise levels that the teacher's ODE is solved between, and their spacing."""

EXACT_CALLS = 24
"""Calls of the teacher for a sample that others are compared with."""

CHEAP_CALLS, CHEAP_START = (1, 2, 4), 10.0
"""Calls of the teacher for samples that a student is to beat, and the noise that they start at."""

MEASURED = (32, 32)
"""States, and samples in each, whose energy distance the curve shows."""

CHECKED = (64, 64)
"""The same for the check at the end."""


@attrs.frozen(eq=False)
class Solver:
    """Solves the probability-flow ODE of a policy with DPM-Solver++ 2M.

    Attributes:
        policy: the policy.
        levels: the noise levels, falling to a zero at the end, (n + 1,).
    """

    policy: BasePolicy
    levels: Tensor

    @classmethod
    def of(cls, policy: BasePolicy, calls: int, start: float = SIGMA_MAX) -> Solver:
        """A solver in so many calls, from ``start``, or from what the policy knows of that."""
        low, high = policy.spec.sigma_range
        first, last = min(start, high), max(SIGMA_MIN, low)
        levels = KarrasSchedule(calls, first, last, RHO).levels(policy.normaliser.mean.device)
        return cls(policy, levels)

    @torch.no_grad()
    def points(self, observation: Observation, noise: Tensor) -> list[Tensor]:
        """Where the ODE passes each level, and at last where it ends, (B, ..., D) each.

        Args:
            observation: named tensors (B, H, ...), in physical units.
            noise: standard normal values, (B, ..., D).
        """
        denoiser = self.policy.denoiser(observation)
        none = NoiseSource([], noise.device)  # the ODE takes no further noise
        visits = DpmSolverSampler().visits(
            denoiser, self.levels[0] * noise, Descent(self.levels), none
        )
        passed, end = [], noise
        for visit in visits:
            passed.append(visit.noisy)
            end = visit.denoised
        return [*passed, end]


@attrs.frozen(eq=False)
class StepLoss:
    """How far a student's steps end from where its teacher's ODE passes, mean square.

    Each call draws noise of its own and solves the ODE from there: no pair of noise and end comes
    twice, so there is nothing to learn by heart. A solution is an example for each of the student's
    steps, from where it passes the level that the step begins at.

    Attributes:
        solver: of the teacher.
        starts: which of the solver's levels are those of the student's calls.
    """

    solver: Solver
    starts: tuple[int, ...]

    def __call__(self, student: Student, batch: Batch, generator: torch.Generator) -> Tensor:
        """The loss in a batch of states."""
        noise = torch.empty(len(batch), student.noise_size, device=batch.actions.device)
        noise.normal_(generator=generator)
        passed = self.solver.points(batch.observation, noise)
        jump = student.jump.denoiser(batch.observation)
        errors = [
            student.step(jump, passed[start], call) - passed[end]
            for call, (start, end) in enumerate(pairwise((*self.starts, -1)))
        ]
        return torch.stack(errors).square().mean()


def distillation_parts(settings: DistillationSettings) -> TrainingParts[Student, Batch]:
    """A student that begins as its teacher, its loss, and the states of a data set.

    Raises:
        CodiError: the teacher or the data cannot be read, or don't fit each other.
    """
    teacher = _teacher(settings)
    dataset, train, held_out = _states(settings, teacher)
    solver = Solver.of(teacher, settings.solver_calls)
    starts = _starts(settings, solver)
    student = _student(teacher, [float(solver.levels[start]) for start in starts])
    check = Check.of(teacher, held_out or train, *MEASURED)

    def save(model: Student, path: Path, metadata: Mapping[str, Any]) -> None:
        save_student(model, path, settings.teacher_digest, metadata)

    return TrainingParts(
        student,
        StepLoss(solver, starts),
        train,
        save,
        data_entry(dataset, train, held_out),
        {**describe_student(student), "teacher": settings.teacher_digest},
        held_out,
        _notes(settings, dataset),
        {"energy distance": check.energy_distance},
    )


def _teacher(settings: DistillationSettings) -> DiffusionPolicy:
    teacher = load_checkpoint(settings.teacher)
    if teacher.digest != settings.teacher_digest:
        raise CheckpointError(
            f"{settings.teacher} is not the teacher that this began with: its sha256 is "
            f"{str(teacher.digest)[:12]}…, the teacher's is {settings.teacher_digest[:12]}…. "
            "Restore it, or start anew in another folder"
        )
    return teacher.to(settings.device)


def _states(
    settings: DistillationSettings, teacher: DiffusionPolicy
) -> tuple[DemonstrationDataset, Segments, Segments | None]:
    """The data set, and its windows for training and to hold out."""
    spec = teacher.spec
    observed = settings.observed() or {name: name for name in spec.observation}
    features = dict.fromkeys([*observed.values(), settings.action])
    dataset = DemonstrationDataset.load(settings.dataset, list(features))
    _check_fit(settings, dataset, observed, teacher)
    kept, aside = split_episodes(dataset.episodes, settings.held_out, settings.seed)
    action = spec.action

    def windows(episodes: Any) -> Segments:
        found = windows_of(
            dataset,
            observed,
            settings.action,
            action.horizon,
            spec.history,
            action.offset,
            episodes,
        )
        return found.to(settings.device)

    return dataset, windows(kept), windows(aside) if len(aside) else None


def _check_fit(
    settings: DistillationSettings,
    dataset: DemonstrationDataset,
    observed: Mapping[str, str],
    teacher: DiffusionPolicy,
) -> None:
    """Check that the data has what the teacher reads and writes.

    Raises:
        DatasetError: it has something else; the message names it.
    """
    spec, features = teacher.spec, dataset.features
    shapes = {name: features[feature].shape for name, feature in observed.items()}
    action = features[settings.action]
    pairs: dict[str, tuple[object, object]] = {
        "what is observed": (sorted(shapes), sorted(spec.observation)),
        **{
            f"the shape of '{name}'": (shape, spec.observation.get(name))
            for name, shape in shapes.items()
        },
        f"the shape of '{settings.action}'": (action.shape, (spec.action.dimension,)),
        f"what '{settings.action}' consists of": (
            list(action.names or spec.action.names),
            list(spec.action.names),
        ),
        "the control rate [Hz]": (float(dataset.fps), spec.action.rate_hz),
    }
    for field, (found, wanted) in pairs.items():
        if found != wanted:
            raise DatasetError(
                f"{dataset.root} does not fit the teacher {settings.teacher}: {field} is {found}, "
                f"the teacher's is {wanted}. Give states of the teacher's task, and name features "
                "with --observations and --action"
            )


def _notes(settings: DistillationSettings, dataset: DemonstrationDataset) -> tuple[str, ...]:
    known = read_metadata(settings.teacher).get("data", {}).get("fingerprint")
    if known == dataset.fingerprint():
        return ()
    note = (
        f"{settings.teacher} was trained on other demonstrations than those in {dataset.root}: the "
        "student imitates it in the states that are in these"
    )
    return (note,)


def _starts(settings: DistillationSettings, solver: Solver) -> tuple[int, ...]:
    """Which levels of the solver are those of the student's calls."""
    if settings.calls == 1:
        return (0,)
    distance = (solver.levels[1:-1] / settings.level).log().abs()
    return (0, 1 + int(distance.argmin()))


def _student(teacher: DiffusionPolicy, levels: list[float]) -> Student:
    """A student with the network of its teacher, and its weights to begin with."""
    jump = copy.deepcopy(teacher).requires_grad_(True).train()
    jump.digest = None
    return Student(jump, levels)


@attrs.frozen(eq=False)
class Check:
    """Compares samples with those of a teacher, in the same states with the same noise each time.

    Attributes:
        teacher: the policy.
        observation: of the states, named tensors (S, H, ...).
        reference: the teacher's samples from :data:`EXACT_CALLS` calls, (S, n, D).
        seed: of the noise of all samples.
    """

    teacher: BasePolicy
    observation: Observation
    reference: Tensor
    seed: int = 0

    @classmethod
    def of(cls, teacher: BasePolicy, states: BatchSource[Batch], count: int, samples: int) -> Check:
        """A check in ``count`` states with so many samples in each."""
        device = teacher.normaliser.mean.device
        generator = torch.Generator(device).manual_seed(2**31 - 2)
        observation = states.sample(generator, count).observation
        noise = torch.empty(count, samples, teacher.spec.action.size, device=device)
        noise.normal_(generator=generator)
        reference = Solver.of(teacher, EXACT_CALLS).points(observation, noise)[-1]
        return cls(teacher, observation, reference)

    def energy_distance(self, student: ChunkSampler) -> float:
        """That of a student's samples, the mean of all states."""
        return float(energy_distance(self.reference, self.drawn(student)).mean())

    @torch.no_grad()
    def drawn(self, student: ChunkSampler) -> Tensor:
        """A student's samples, (S, n, D)."""
        return student.sample(self.observation, self._noise(student.noise_size))

    def solved(self, calls: int, start: float) -> Tensor:
        """The teacher's samples in so many calls, from a noise level, (S, n, D)."""
        noise = self._noise(self.teacher.spec.action.size)
        return Solver.of(self.teacher, calls, start).points(self.observation, noise)[-1]

    def report(self, student: ChunkSampler, calls: int) -> dict[str, Any]:
        """How alike a student's samples, and those of its teacher's in few calls, are, JSON-able.

        Beside them are other samples of the teacher from as many calls as the reference: what an
        exact copy would have.

        Args:
            student: the student.
            calls: how often it calls its network for a sample.
        """
        rows = [
            ("teacher", EXACT_CALLS, self.solved(EXACT_CALLS, SIGMA_MAX)),
            ("student", calls, self.drawn(student)),
            *[("teacher", cheap, self.solved(cheap, CHEAP_START)) for cheap in CHEAP_CALLS],
        ]
        names = self.teacher.spec.action.names
        states, samples, _ = self.reference.shape
        return {
            "states": states,
            "samples": samples,
            "rows": [
                {
                    "samples_of": who,
                    "calls": number,
                    **likeness(self.reference, drawn, names).document(),
                }
                for who, number, drawn in rows
            ],
        }

    def _noise(self, size: int) -> Tensor:
        device = self.reference.device
        generator = torch.Generator(device).manual_seed(self.seed)
        noise = torch.empty(*self.reference.shape[:2], size, device=device)
        return noise.normal_(generator=generator)


def check_student(settings: DistillationSettings, student: ChunkSampler) -> dict[str, Any]:
    """The report of a student in the states that its distillation held out, or trained in."""
    teacher = _teacher(settings)
    _, train, held_out = _states(settings, teacher)
    return Check.of(teacher, held_out or train, *CHECKED).report(student, settings.calls)
