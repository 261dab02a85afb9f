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
from codi_core.planning import Observation
from codi_core.policies import BasePolicy, Batch, ChunkSampler, DiffusionPolicy, Student
from codi_core.policies.diffusion import network_sizes
from codi_core.policies.networks import DenoisingNetwork, build_network
from codi_core.training.checkpoint import checkpoint_digest, load_checkpoint, read_metadata
from codi_core.training.distillation_settings import DistillationSettings
from codi_core.training.footprint import check_network
from codi_core.training.imitation import data_entry, windows_of
from codi_core.training.likeness import energy_distance, likeness
from codi_core.training.ode_paths import (
    SIGMA_MAX,
    FreshPaths,
    OdePaths,
    PathMaker,
    ReusedPaths,
    Solver,
    StandIn,
)
from codi_core.training.parts import TrainingParts
from codi_core.training.students import TEACHER, describe_student, load_student, save_student
from codi_core.training.trainer import BatchSource

EXACT_CALLS = 24
"""Calls of the teacher for a sample that others are compared with."""

CHEAP_CALLS, CHEAP_START = (1, 2, 4), 10.0
"""Calls of the teacher for samples that a student is to beat, and the noise that they start at."""

MEASURED = (32, 32)
"""States, and samples in each, whose energy distance the curve shows."""

CHECKED = (64, 64)
"""The same for the check at the end."""


def step_loss(student: Student, paths: OdePaths, generator: torch.Generator) -> Tensor:
    """How far a student's steps end from where its teacher's ODE passes, mean square.

    A path is an example for each of the steps, from where it passes the level that the step begins
    at.

    Args:
        student: the student.
        paths: at the levels of the student's calls.
        generator: not used: all noise is in the paths.
    """
    jump = student.jump.denoiser(paths.observation)
    points = paths.points.unbind(1)
    errors = [
        student.step(jump, start, call) - end for call, (start, end) in enumerate(pairwise(points))
    ]
    return torch.stack(errors).square().mean()


def distillation_parts(settings: DistillationSettings) -> TrainingParts[Student, OdePaths]:
    """A student, its loss, and paths of its teacher's ODE in the states of a data set.

    Raises:
        CodiError: the teacher, its stand-in or the data cannot be read, or don't fit each other.
    """
    teacher = _teacher(settings)
    dataset, train, held_out = _states(settings, teacher)
    maker = _path_maker(settings, teacher)
    starts = _starts(settings, maker)
    student = _student(settings, teacher, [float(maker.levels[start]) for start in starts])
    check = Check.of(teacher, held_out or train, *MEASURED)
    fresh = FreshPaths(train, maker, starts)

    def save(model: Student, path: Path, metadata: Mapping[str, Any]) -> None:
        save_student(model, path, settings.teacher_digest, metadata)

    return TrainingParts(
        student,
        step_loss,
        ReusedPaths(fresh, settings.reuse) if settings.reuse > 1 else fresh,
        save,
        data_entry(dataset, train, held_out),
        {**describe_student(student), "teacher": settings.teacher_digest},
        FreshPaths(held_out, maker, starts) if held_out else None,
        _notes(settings, dataset),
        {"energy distance": check.energy_distance},
    )


def _teacher(settings: DistillationSettings) -> DiffusionPolicy:
    teacher = load_checkpoint(settings.teacher)
    _check_unchanged("teacher", settings.teacher, str(teacher.digest), settings.teacher_digest)
    return teacher.to(settings.device)


def _check_unchanged(role: str, path: str, found: str, digest: str) -> None:
    """Check that a checkpoint is the one that the training began with."""
    if found != digest:
        raise CheckpointError(
            f"{path} is not the {role} that this began with: its sha256 is {found[:12]}…, "
            f"the {role}'s is {digest[:12]}…. Restore it, or start anew in another folder"
        )


def _path_maker(settings: DistillationSettings, teacher: DiffusionPolicy) -> PathMaker:
    """What follows the teacher's ODE: a solver, or a student that stands in for it."""
    if settings.stand_in is None:
        return Solver.of(teacher, settings.solver_calls)
    student, known = load_student(settings.stand_in), read_metadata(settings.stand_in)
    digest = checkpoint_digest(settings.stand_in)
    _check_unchanged("stand-in", settings.stand_in, digest, str(settings.stand_in_digest))
    if known.get(TEACHER) != settings.teacher_digest:
        raise CheckpointError(
            f"{settings.stand_in} can't stand in for {settings.teacher}: it was distilled from "
            f"another policy, whose sha256 is {str(known.get(TEACHER))[:12]}…. Give a student of "
            "this one, or leave --stand-in out"
        )
    if student.calls < settings.calls:
        raise CheckpointError(
            f"{settings.stand_in} takes {student.calls} call for a sample, and says nothing "
            f"of what {settings.calls} calls do: give --calls {student.calls} or another student"
        )
    return StandIn(student.to(settings.device))


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


def _starts(settings: DistillationSettings, maker: PathMaker) -> tuple[int, ...]:
    """Which levels of the ODE's paths are those of the student's calls."""
    if settings.calls == 1:
        return (0,)
    distance = (maker.levels[1:-1] / settings.level).log().abs()
    return (0, 1 + int(distance.argmin()))


def _student(
    settings: DistillationSettings, teacher: DiffusionPolicy, levels: list[float]
) -> Student:
    """A student that begins as its teacher, or one with an untrained network of its own."""
    jump = copy.deepcopy(teacher)
    jump.digest = None
    if settings.network != "teacher":
        jump.network = _network(settings, teacher)
    return Student(jump.requires_grad_(True).train(), levels).to(settings.device)


def _network(settings: DistillationSettings, teacher: DiffusionPolicy) -> DenoisingNetwork:
    """An untrained network for what the teacher reads and writes."""
    sizes, options = network_sizes(teacher.spec), settings.network_options()
    check_network(settings.network, *sizes, options, settings.device)
    torch.manual_seed(settings.seed)
    return build_network(settings.network, *sizes, **options)


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
