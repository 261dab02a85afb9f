"""What the frames of demonstrations hold, by LeRobot feature name.

Single-arm demonstrations have the names that the arm's policy reads. Joint demonstrations have the
layout of recordings (``codi-run --record``), so that whatever reads the one reads the other.
"""

from __future__ import annotations

from torch import Tensor

from codi_core.data import FeatureSpec
from codi_core.planning import Observation
from codi_core.policies import AgentView, observation_feature
from codi_franka.action import ACTION_NAMES, joint_action_spec
from codi_franka.collection.script import Frame
from codi_franka.observation import ENVIRONMENT, ENVIRONMENT_NAMES, SHAPES, STATE, STATE_NAMES
from codi_franka.robot.cell import ARMS
from codi_franka.state import FrankaState, tensors

ARM = "left"
"""The arm of single-arm demonstrations; in base frames both are alike."""

_SEEN_NAMES = {STATE: STATE_NAMES, ENVIRONMENT: ENVIRONMENT_NAMES}


def single_arm_features() -> dict[str, FeatureSpec]:
    """What single-arm demonstrations hold."""
    return {
        **{name: FeatureSpec(SHAPES[name], names) for name, names in _SEEN_NAMES.items()},
        "action": FeatureSpec((len(ACTION_NAMES),), ACTION_NAMES),
        **_state_features(("",)),
    }


def joint_features() -> dict[str, FeatureSpec]:
    """What joint demonstrations hold."""
    both = joint_action_spec(ARMS).names
    return {
        **{
            observation_feature(f"{arm}/{name}"): FeatureSpec(SHAPES[name], names)
            for arm in ARMS
            for name, names in _SEEN_NAMES.items()
        },
        **{f"action.{arm}": FeatureSpec((len(ACTION_NAMES),), ACTION_NAMES) for arm in ARMS},
        "action": FeatureSpec((len(both),), both),
        **_state_features(tuple(f"{arm}/" for arm in ARMS)),
    }


def single_arm_frame(
    state: FrankaState, estimate: FrankaState, observation: Observation, action: Tensor
) -> Frame:
    """One arm's own observation and action, and the true state."""
    seen = AgentView(ARM)(observation)
    frame = {STATE: seen[STATE], ENVIRONMENT: seen[ENVIRONMENT], "action": action.flatten(1)}
    return {**frame, **_state_values(state)}


def joint_frame(
    state: FrankaState, estimate: FrankaState, observation: Observation, action: Tensor
) -> Frame:
    """All arms' observations and actions, and the state estimate, as recordings have them."""
    return {
        **{observation_feature(name): value for name, value in observation.items()},
        **{f"action.{arm}": action[:, index] for index, arm in enumerate(ARMS)},
        "action": action.flatten(1),
        **_state_values(estimate),
    }


def _state_values(state: FrankaState) -> Frame:
    return {f"state.{name}": value.flatten(1) for name, value in tensors(state)}


def _state_features(prefixes: tuple[str, ...]) -> dict[str, FeatureSpec]:
    """The restorable state of arms with these prefixes to their values' names."""
    joints = [f"{prefix}joint{number} [rad]" for prefix in prefixes for number in range(1, 8)]
    axes = [f"{kind}_{axis}" for kind in ("linear [m/s]", "angular [rad/s]") for axis in "xyz"]
    names = {
        "joint_position": joints,
        "joint_velocity": [f"{name}/s" for name in joints],
        "gripper_width": [f"{prefix}width [m]" for prefix in prefixes],
        "cube_position": ["x [m]", "y [m]", "z [m]"],
        "cube_quaternion": ["w", "x", "y", "z"],
        "cube_velocity": axes,
    }
    return {f"state.{name}": FeatureSpec((len(each),), tuple(each)) for name, each in names.items()}
