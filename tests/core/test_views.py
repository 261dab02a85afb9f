"""Views of a joint observation."""

from __future__ import annotations

import pickle

import pytest
import torch

from codi_core.errors import SpecificationError
from codi_core.policies import AgentView, RecordedView


def test_a_view_is_what_carries_the_agents_name() -> None:
    joint = {
        "left/position": torch.tensor([1.0]),
        "left/near/hand": torch.tensor([2.0]),
        "left2/position": torch.tensor([3.0]),
        "goal": torch.tensor([4.0]),
    }
    own = AgentView("left")(joint)
    assert {name: value.item() for name, value in own.items()} == {
        "position": 1.0,
        "near/hand": 2.0,
    }
    assert own["position"] is joint["left/position"]


def test_views_can_be_compared_and_sent_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(AgentView("left"))) == AgentView("left") != AgentView("right")


def test_an_agent_that_is_not_observed_is_named() -> None:
    with pytest.raises(SpecificationError, match=r"nothing of agent 'third'.*'left/position'"):
        AgentView("third")({"left/position": torch.zeros(1)})


def test_a_recorded_view_has_the_names_of_recordings() -> None:
    joint = {"left/observation.state": torch.tensor([1.0]), "goal": torch.tensor([4.0])}
    seen = RecordedView()(joint)
    assert seen.keys() == {"observation.left.state", "observation.goal"}
    assert seen["observation.left.state"] is joint["left/observation.state"]
    assert pickle.loads(pickle.dumps(RecordedView())) == RecordedView()
