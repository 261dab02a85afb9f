"""Joint demonstrations: windows whose states, observations and chunks are those recorded."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import torch

from codi_baselines.demonstrations import JointDemonstrations
from codi_core.data import DemonstrationDataset
from codi_core.errors import DatasetError, UsageError
from codi_core.experiments import Experiment, prepare
from codi_core.policies import Factor, ProductPolicy
from tests.baselines.joint_points import (
    HORIZON,
    TASK,
    install_task,
    joint,
    observe,
    write_demonstrations,
    write_policy,
)

LENGTHS = (12, 9, 15)


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    install_task(tmp_path / "site", monkeypatch)
    policy = write_policy(tmp_path / "joint.safetensors", joint())
    return prepare(TASK, policy="joint", checkpoint=policy)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_demonstrations(tmp_path / "data", LENGTHS)


def test_each_frame_starts_a_window(experiment: Experiment, root: Path) -> None:
    data = DemonstrationDataset.load(root)
    loaded = JointDemonstrations.load(root, experiment.opened, experiment.product())
    assert len(loaded) == sum(LENGTHS)
    assert loaded.episode_starts.tolist() == [0, 12, 21, 36]
    # One in the middle, and the last two of the second episode.
    rows = torch.tensor([3, 19, 20])
    positions = torch.from_numpy(data.arrays["state"])[rows]
    assert torch.equal(loaded.states(rows), positions)
    seen = loaded.observation(rows)["offsets"]
    assert seen.shape == (3, 1, 2)
    assert torch.allclose(seen[:, 0], observe(positions)["offsets"])
    frames = [[3, 4, 5, 6], [19, 20, 20, 20], [20, 20, 20, 20]]
    actions = torch.from_numpy(data.arrays["action"])[torch.tensor(frames)]
    left, right = loaded.product.decode(loaded.chunks(rows))
    assert left.shape == (3, HORIZON, 1)
    assert torch.allclose(torch.cat([left, right], -1), actions, atol=1e-6)


def test_a_history_does_not_reach_into_the_episode_before(
    experiment: Experiment, root: Path
) -> None:
    (factor,) = experiment.product().factors
    factor.policy.spec = attrs.evolve(factor.policy.spec, history=3)
    product = ProductPolicy(
        [Factor(factor.policy, factor.agents, factor.observe, factor.action_sizes)]
    )
    loaded = JointDemonstrations.load(root, experiment.opened, product)
    seen = loaded.observation(torch.tensor([13, 20]))["offsets"]
    recorded = torch.from_numpy(DemonstrationDataset.load(root).arrays["observation.offsets"])
    assert torch.allclose(seen, recorded[torch.tensor([[12, 12, 13], [18, 19, 20]])])


def test_the_first_episodes_can_be_had_alone(experiment: Experiment, root: Path) -> None:
    product, opened = experiment.product(), experiment.opened
    every = JointDemonstrations.load(root, opened, product)
    first = JointDemonstrations.load(root, opened, product, 2)
    assert len(first) == 21
    rows = torch.arange(21)
    assert torch.equal(first.chunks(rows), every.chunks(rows))
    assert first.fingerprint != every.fingerprint
    again = JointDemonstrations.load(root, opened, product, 3)
    assert again.fingerprint == every.fingerprint
    with pytest.raises(UsageError, match=r"--episodes 4: .* has 3"):
        JointDemonstrations.load(root, opened, product, 4)


def test_whole_numbers_reach_the_task_as_they_are(experiment: Experiment, root: Path) -> None:
    seen: list[torch.Tensor] = []

    def restore(features):
        seen.append(features["episode"])
        return features["state"], observe(features["state"])

    parts = attrs.evolve(experiment.opened.parts, restore=restore)
    opened = attrs.evolve(experiment.opened, parts=parts)
    JointDemonstrations.load(root, opened, experiment.product()).states(torch.tensor([0, 35]))
    # Single precision would round the seed.
    assert seen[0].tolist() == [[2**40 + 7, 0], [2**40 + 7, 2]]


def test_what_can_not_be_used_is_refused(experiment: Experiment, root: Path) -> None:
    product, opened = experiment.product(), experiment.opened
    unable = attrs.evolve(opened, parts=attrs.evolve(opened.parts, restore=None))
    with pytest.raises(UsageError, match=r"'joint-points' can't restore .*`restore`"):
        JointDemonstrations.load(root, unable, product)
    (factor,) = product.factors
    action = factor.policy.spec.action
    factor.policy.spec = attrs.evolve(factor.policy.spec, action=attrs.evolve(action, rate_hz=5.0))
    slower = ProductPolicy([factor])
    with pytest.raises(DatasetError, match="recorded at 10 Hz, the base policies act at 5 Hz"):
        JointDemonstrations.load(root, opened, slower)


def test_demonstrations_of_one_agent_are_refused(experiment: Experiment, tmp_path: Path) -> None:
    single = write_demonstrations(tmp_path / "single", agents=1)
    with pytest.raises(DatasetError, match=r"actions of 1 values; .* have 2: .*--joint"):
        JointDemonstrations.load(single, experiment.opened, experiment.product())
