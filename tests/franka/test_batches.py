"""An episode of the handover is the same alone and beside others, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codi_core import experiments
from codi_core.evaluation.waves import Wave

pytestmark = pytest.mark.skipif(
    not torch.backends.mkl.is_available(), reason="other libraries add up otherwise"
)


def wave(numbers: range, **options: object) -> Wave:
    experiment = experiments.prepare("franka-handoff", seed=4, episodes=9, **options)
    with experiment.wave_runner() as runner:
        return runner.run(numbers, frozenset([3]))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"max_seconds": 3.0}, id="default"),
        pytest.param({"max_seconds": 2.0, "preset": "fast", "latency": 0.2}, id="late"),
    ],
)
def test_an_episode_is_the_same_alone_and_in_a_batch(options: dict[str, object]) -> None:
    alone, beside = wave(range(3, 4), **options), wave(range(2, 8), **options)
    assert alone.records[0] == beside.records[1]
    for name, values in alone.traces[3].items():
        assert np.array_equal(values, beside.traces[3][name]), name
