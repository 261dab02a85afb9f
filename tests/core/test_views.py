"""Views of one agent's part of a joint observation."""

from __future__ import annotations

import pickle

import pytest
import torch

from codi_core.errors import SpecificationError
from codi_core.policies import AgentView


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
