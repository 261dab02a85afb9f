"""Checkpoints of students: they name the policy that they were distilled from by its digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codi_core.errors import CheckpointError, SpecificationError
from codi_core.policies import BasePolicy, ProductPolicy, ProductSampler, Student
from codi_core.training.checkpoint import (
    STUDENT,
    describe,
    read_metadata,
    read_policy,
    write_tensors,
)

TEACHER = "teacher"
"""The entry of the metadata with the digest of the policy that was distilled."""

SHIPPED, NONE = "shipped", "none"
"""Words in place of a path: the task's own students where it has them, and no student."""


def save_student(
    student: Student, path: Path | str, teacher: str, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a student, atomically.

    Args:
        student: the student; its tensors include the normalisation.
        path: the file.
        teacher: sha256 of the checkpoint of the policy that it stands for.
        metadata: further JSON-able entries.
    """
    tensors = {name: value.cpu().contiguous() for name, value in student.jump.state_dict().items()}
    own = {**describe_student(student), TEACHER: teacher}
    write_tensors(path, tensors, {**own, **(metadata or {})})


def describe_student(student: Student) -> dict[str, Any]:
    """What it takes to make the student again, JSON-able."""
    return {**describe(student.jump), "kind": STUDENT, "levels": list(student.levels)}


def load_student(path: Path | str) -> Student:
    """Read a student, ready to draw with (evaluation mode, no gradients of parameters).

    Raises:
        CheckpointError: the file is missing or damaged, or no student.
    """
    path = Path(path)
    metadata = read_metadata(path)
    if metadata.get("kind") != STUDENT:
        raise CheckpointError(
            f"{path} is the checkpoint of no student: codi-distil makes one of a base policy"
        )
    jump = read_policy(path, metadata)
    try:
        student = Student(jump, metadata["levels"])
    except (KeyError, TypeError, ValueError, SpecificationError) as error:
        raise CheckpointError(
            f"{path} does not describe a student ({type(error).__name__}: {error}): copy or "
            "distil it again"
        ) from error
    return student.requires_grad_(False).eval()


def students_of(
    product: ProductPolicy, checkpoint: Path | str, students: Iterable[Path] = ()
) -> ProductSampler | None:
    """What draws samples in place of a product's policies, each from a student of its own.

    Args:
        product: of policies from checkpoints.
        checkpoint: a student, or a folder with one for each policy. Who stands for whom is known
            by the teachers' digests. In the folder of a training it is the last checkpoint.
            ``shipped`` stands for the task's own students, ``none`` for no student.
        students: those that the task ships.

    Returns:
        None if none is wanted, or if the task ships none for one of these policies: another
        checkpoint than the shipped one has none.

    Raises:
        CheckpointError: a student is missing or damaged, or has another teacher.
    """
    if checkpoint == NONE:
        return None
    if checkpoint == SHIPPED:
        own = {_teacher(file): file for file in students}
        files = [own.get(getattr(policy, "digest", "")) for policy in product.policies]
        return None if None in files else _drawing(product, filter(None, files))
    path = Path(checkpoint)
    known = {_teacher(file): file for file in _files(path)}
    return _drawing(product, [_student_of(policy, path, known) for policy in product.policies])


def _drawing(product: ProductPolicy, files: Iterable[Path]) -> ProductSampler:
    return ProductSampler(product, [load_student(file).to(product.device) for file in files])


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise CheckpointError(
            f"the student {path} does not exist: codi-distil makes one of a base policy"
        )
    if not path.is_dir():
        return [path]
    # By name, so that checkpoint.safetensors comes after those that a training has kept before.
    files = sorted(path.glob("*.safetensors"))
    students = [file for file in files if read_metadata(file).get("kind") == STUDENT]
    if not students:
        raise CheckpointError(
            f"the folder '{path}' has no student: codi-distil makes one of a base policy"
        )
    return students


def _teacher(path: Path) -> str:
    metadata = read_metadata(path)
    if metadata.get("kind") != STUDENT:
        load_student(path)  # it says what is wrong
    return str(metadata.get(TEACHER))


def _student_of(policy: BasePolicy, path: Path, known: Mapping[str, Path]) -> Path:
    digest = getattr(policy, "digest", None)
    if digest is None:
        raise CheckpointError(
            f"{path} can't stand for a {type(policy).__name__} that is from no checkpoint of "
            "codi-train: leave the student out"
        )
    if digest not in known:
        teachers = " and ".join(f"{teacher[:12]}…" for teacher in known)
        raise CheckpointError(
            f"{path} was distilled from another policy: the teacher's sha256 is {teachers}, the "
            f"base policy's is {digest[:12]}…. Give its own student, or make one with codi-distil"
        )
    return known[digest]
