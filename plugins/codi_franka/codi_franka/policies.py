"""The base policies that the handover offers, and the checkpoints that it ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codi_core.policies import AgentView, PolicySpec, RecordedView, observation_feature
from codi_core.tasks import FactorLayout, PolicyOffer
from codi_franka.action import ACTION_SPEC, joint_action_spec
from codi_franka.observation import SHAPES
from codi_franka.robot.cell import ARMS

SINGLE_AGENT, JOINT = "single-agent", "joint"
ALL, FEW = "", "-200"
"""Trained on all 1,000 demonstrations, or on the first 200 of them."""


def offers() -> Mapping[str, PolicyOffer]:
    """All offers by name; the first is the default."""
    offered = ((SINGLE_AGENT, single_agent), (JOINT, joint))
    return {f"{name}{data}": make(data) for data in (ALL, FEW) for name, make in offered}


def single_agent(data: str = ALL) -> PolicyOffer:
    """One factor an arm. Both share one policy, because in base frames the arms are alike."""
    spec = PolicySpec(ACTION_SPEC, SHAPES)
    factors = (
        FactorLayout("arm", (index,), AgentView(arm), spec) for index, arm in enumerate(ARMS)
    )
    summary = f"one policy for each arm, from {_number(data)}demonstrations of one"
    students = (shipped("arm-student"),) if data == ALL else ()
    return PolicyOffer(summary, tuple(factors), {"arm": shipped(f"arm{data}")}, students=students)


def joint(data: str = ALL) -> PolicyOffer:
    """One factor for both arms, whose policy was trained on joint demonstrations."""
    seen = {f"{arm}/{name}": shape for arm in ARMS for name, shape in SHAPES.items()}
    shapes = {observation_feature(name): shape for name, shape in seen.items()}
    spec = PolicySpec(joint_action_spec(ARMS), shapes)
    size = len(ACTION_SPEC.names)
    factor = FactorLayout("joint", (0, 1), RecordedView(), spec, (size,) * len(ARMS))
    summary = f"one policy for both arms, from {_number(data)}joint demonstrations"
    return PolicyOffer(summary, (factor,), {"joint": shipped(f"joint{data}")})


def _number(data: str) -> str:
    return f"{data[1:]} " if data else ""


def shipped(kind: str) -> Path:
    """The shipped checkpoint of a kind of policy."""
    return Path(__file__).parent / "checkpoints" / f"franka-{kind}.safetensors"
