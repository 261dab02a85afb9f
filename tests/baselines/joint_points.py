"""A tiny task with joint demonstrations, for trainings of methods: two points that must meet.

It is the example plugin's, with base policies that are trained: one over both points ("joint"), and
one that they share ("single"). What it writes takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from codi_core import (
    ActionSpec,
    FactorLayout,
    PolicyOffer,
    PolicySpec,
    Task,
    TaskParts,
    TaskRecord,
    hookimpl,
)
from codi_core.data import DatasetWriter, FeatureSpec
from codi_core.policies import DiffusionPolicy
from codi_core.training import save_checkpoint
from tests.core.plugin_path import install
from tests.example_plugin.codi_example import RATE_HZ, Gap, Options, PointsTask, observe

TASK = "joint-points"
HORIZON = 4
FEATURES = {
    "observation.offsets": FeatureSpec((2,)),
    "action": FeatureSpec((2,)),
    "state": FeatureSpec((2,)),
    "episode": FeatureSpec((2,), ("seed", "number"), "int64"),
}


@hookimpl
def codi_tasks() -> Iterator[TaskRecord]:
    """The task."""
    yield TaskRecord(TASK, "two points on a line, with demonstrations of both", JointPoints)


class JointPoints(Task):
    """Two points that must meet, demonstrated together."""

    Options = Options

    def parts(self, options: Options) -> TaskParts:
        """The example's parts, with trained policies."""
        return attrs.evolve(
            PointsTask().parts(options),
            policies={"single": single(), "joint": joint()},
            restore=restore,
        )

    def costs(self) -> Mapping[str, Any]:
        """The task's own cost."""
        return {"gap": Gap}


def restore(features: Mapping[str, Tensor]) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The positions, and what is seen from there."""
    return features["state"], observe(features["state"])


def joint() -> PolicyOffer:
    """One factor over both points."""
    action = ActionSpec(("left/velocity [m/s]", "right/velocity [m/s]"), HORIZON, RATE_HZ)
    spec = PolicySpec(action, {"observation.offsets": (2,)})
    factor = FactorLayout(
        "joint", (0, 1), lambda seen: {"observation.offsets": seen["offsets"]}, spec, (1, 1)
    )
    return PolicyOffer("one policy over both points", (factor,))


def single() -> PolicyOffer:
    """One policy that both points share."""
    spec = PolicySpec(ActionSpec(("velocity [m/s]",), HORIZON, RATE_HZ), {"offset": (1,)})
    factors = (
        FactorLayout(
            "point",
            (agent,),
            lambda seen, agent=agent: {"offset": seen["offsets"][..., agent : agent + 1]},
            spec,
        )
        for agent in range(2)
    )
    return PolicyOffer("one policy for each point", tuple(factors))


def install_task(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process see the task, from a folder that does not exist yet."""
    folder.mkdir()
    install(folder, "codi-joint-points", {"points": "tests.baselines.joint_points"})
    monkeypatch.syspath_prepend(str(folder))


def write_demonstrations(
    root: Path, lengths: tuple[int, ...] = (12, 9, 15), agents: int = 2
) -> Path:
    """Points that approach one another, from places of their own in each episode.

    Args:
        root: the data set's folder.
        lengths: of the episodes.
        agents: of how many points actions are recorded.
    """
    random = np.random.default_rng(0)
    features = {**FEATURES, "action": FeatureSpec((agents,))}
    with DatasetWriter(root, features, RATE_HZ, "points") as writer:
        for number, length in enumerate(lengths):
            ahead = 0.9 ** np.arange(length + 1)[:, None]
            positions = (ahead * random.uniform(0.5, 1, 2) * [-1, 1]).astype(np.float32)
            seen = observe(torch.from_numpy(positions[:-1]))["offsets"].numpy()
            frames = {
                "observation.offsets": seen,
                "action": (np.diff(positions, axis=0) * np.float32(RATE_HZ))[:, :agents],
                "state": positions[:-1],
                "episode": np.tile([[2**40 + 7, number]], (length, 1)),
            }
            writer.add_episode(frames, "meet")
    return root


def write_policy(path: Path, offer: PolicyOffer, seed: int = 0) -> Path:
    """An untrained policy for the offer's only kind."""
    torch.manual_seed(seed)
    (spec,) = offer.kinds.values()
    policy = DiffusionPolicy.build(spec, "mlp", width=16, depth=1)
    save_checkpoint(policy, path)
    return path
