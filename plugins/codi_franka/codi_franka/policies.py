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

FEWER = 200
"""A fifth of the demonstrations, for Fig. 5: the first so many of 1,000."""


def offers() -> Mapping[str, PolicyOffer]:
    """All offers by name; the first is the default."""
    return {
        SINGLE_AGENT: single_agent(),
        JOINT: joint(),
        f"{SINGLE_AGENT}-{FEWER}": single_agent(FEWER),
        f"{JOINT}-{FEWER}": joint(FEWER),
    }


def single_agent(demonstrations: int | None = None) -> PolicyOffer:
    """One factor an arm. Both share one policy, because in base frames the arms are alike.

    Args:
        demonstrations: how many it was trained on; None for all.
    """
    spec = PolicySpec(ACTION_SPEC, SHAPES)
    factors = (
        FactorLayout("arm", (index,), AgentView(arm), spec) for index, arm in enumerate(ARMS)
    )
    summary = "one policy for each arm, from demonstrations of one"
    return PolicyOffer(
        _summary(summary, demonstrations), tuple(factors), {"arm": shipped("arm", demonstrations)}
    )


def joint(demonstrations: int | None = None) -> PolicyOffer:
    """One factor for both arms, whose policy was trained on joint demonstrations.

    Args:
        demonstrations: how many it was trained on; None for all.
    """
    seen = {f"{arm}/{name}": shape for arm in ARMS for name, shape in SHAPES.items()}
    shapes = {observation_feature(name): shape for name, shape in seen.items()}
    spec = PolicySpec(joint_action_spec(ARMS), shapes)
    size = len(ACTION_SPEC.names)
    factor = FactorLayout("joint", (0, 1), RecordedView(), spec, (size,) * len(ARMS))
    summary = "one policy for both arms, from joint demonstrations"
    return PolicyOffer(
        _summary(summary, demonstrations), (factor,), {"joint": shipped("joint", demonstrations)}
    )


def shipped(kind: str, demonstrations: int | None = None) -> Path:
    """The shipped checkpoint of a kind of policy."""
    suffix = "" if demonstrations is None else f"-{demonstrations}"
    return Path(__file__).parent / "checkpoints" / f"franka-{kind}{suffix}.safetensors"


def _summary(text: str, demonstrations: int | None) -> str:
    return text if demonstrations is None else f"{text}; only {demonstrations} of 1,000"
