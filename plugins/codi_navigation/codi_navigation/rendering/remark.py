"""What videos say of a control step."""

from __future__ import annotations

import numpy as np

from codi_core.tasks import Trace


def remark(trace: Trace, step: int) -> str:
    """How far the robot is that is farthest from its goal."""
    offset = np.asarray(trace["goal"], float)[step] - np.asarray(trace["position"], float)[step]
    return f"farthest robot {np.linalg.norm(offset, axis=-1).max():.1f} m from its goal"
