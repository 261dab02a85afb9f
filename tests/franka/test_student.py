"""Students in plans of the handover: both arms draw with that of their policy."""

from __future__ import annotations

import copy

import pytest
import torch

from codi_core import experiments
from codi_core.errors import CheckpointError
from codi_core.policies import Student
from codi_core.training import load_checkpoint
from codi_core.training.students import save_student
from codi_franka.policies import shipped


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """The policy's own network, as if it were distilled: one call says the mean of all chunks."""
    policy = load_checkpoint(shipped("arm"))
    path = tmp_path_factory.mktemp("student") / "student.safetensors"
    save_student(Student(copy.deepcopy(policy), [40.0]), path, policy.digest)
    return path


@pytest.mark.parametrize("method", ["search", "best-of"])
def test_candidates_are_drawn_with_a_student(student, method):
    def planned(name):
        plan = experiments.plan("franka-handoff", seed=3, unguided=4, method=name).plan
        return torch.cat(plan.chunks)

    with_student = planned(f"{method}:student={student}")
    assert with_student.isfinite().all()
    assert torch.equal(with_student, planned(f"{method}:student={student.parent}"))
    assert not torch.allclose(with_student, planned(method), atol=1e-3)


def test_a_student_of_another_policy_is_refused(student):
    for policy in ("single-agent-200", "joint"):
        with pytest.raises(CheckpointError, match="was distilled from another policy"):
            experiments.plan(
                "franka-handoff", policy=policy, method=f"search:student={student}", unguided=4
            )


def test_a_student_is_no_checkpoint_of_a_policy(student):
    with pytest.raises(CheckpointError, match="is a student: it draws samples, and is no denoise"):
        experiments.plan("franka-handoff", checkpoint=str(student), unguided=4)
