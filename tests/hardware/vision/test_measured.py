import numpy as np
import pytest

from codi_franka.vision.estimate import CubeEstimate, CubeStatus
from codi_franka.vision.measured import MeasuredErrors


def test_errors_are_as_large_and_as_rare_as_measured():
    errors = MeasuredErrors()
    random = np.random.default_rng(0)
    drawn = [errors.draw(random) for _ in range(20_000)]
    seen = np.array([error for error in drawn if error is not None])
    assert 1 - len(seen) / len(drawn) == pytest.approx(errors.dropouts, abs=0.004)
    assert seen[:, 3:].std(0) == pytest.approx(errors.rotation, rel=0.05)
    assert seen[:, 0].std() == pytest.approx(errors.position, rel=0.05)  # across the line of sight
    far = np.linalg.norm(seen[:, :3], axis=-1) > 0.003
    assert far.mean() == pytest.approx(0.74 * errors.alone, rel=0.1)


def test_a_true_pose_is_disturbed_about_itself():
    true = CubeEstimate(
        1.0, np.array([0.1, 0.2, 0.3, 1, 0, 0, 0]), np.zeros(6), np.zeros((6, 6)), CubeStatus.SEEN
    )
    errors = MeasuredErrors(alone=0.0, dropouts=0.0)
    random = np.random.default_rng(1)
    seen = np.array([errors.disturb(true, random).pose for _ in range(2000)])
    assert seen[:, :3].mean(0) == pytest.approx(true.pose[:3], abs=3e-5)
    assert 2 * seen[:, 4:].std(0) == pytest.approx(errors.rotation, rel=0.1)
    assert MeasuredErrors(dropouts=1.0).disturb(true, random) is None
