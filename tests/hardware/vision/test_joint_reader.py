from types import SimpleNamespace

import numpy as np
import pytest

from codi_core.errors import CodiError, UsageError
from codi_franka.hardware import joint_reader


@pytest.fixture
def library(monkeypatch):
    """A client library with arms at two addresses."""

    def connect(host, realtime_config):
        assert realtime_config == "ignore"
        if host == "10.0.0.9":
            raise RuntimeError("no route to host")
        return SimpleNamespace(state=SimpleNamespace(q=[float(host[-1])] * 7))

    made = SimpleNamespace(Robot=connect, RealtimeConfig=SimpleNamespace(Ignore="ignore"))
    monkeypatch.setattr(joint_reader, "franky", lambda: made)


def test_arms_are_read_and_the_others_are_unknown(library):
    both = joint_reader.joint_reader("right=10.0.0.2,left=10.0.0.1")()
    assert both == pytest.approx(np.repeat([[1.0], [2.0]], 7, 1))
    alone = joint_reader.joint_reader("right=10.0.0.2")()
    assert np.isnan(alone[0]).all() and alone[1, 0] == 2.0


def test_what_is_wrong_is_said(library):
    with pytest.raises(UsageError, match="'middle=1' names no arm's address"):
        joint_reader.joint_reader("middle=1")
    with pytest.raises(UsageError, match="left=IP"):
        joint_reader.joint_reader("left=")
    with pytest.raises(CodiError, match=r"the left arm can't be reached at 10\.0\.0\.9: no route"):
        joint_reader.joint_reader("left=10.0.0.9")
