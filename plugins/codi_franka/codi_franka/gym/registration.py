"""The names under which gymnasium finds the environment."""

from __future__ import annotations

from codi_core.host.late_import import register_with_gymnasium

ENVIRONMENT_ID = "codi/FrankaHandoff-v0"
MAX_EPISODE_STEPS = 600
"""60 s at 10 Hz."""


def register() -> None:
    """Make the environment known to gymnasium, now or as soon as somebody imports it."""
    register_with_gymnasium(
        ENVIRONMENT_ID,
        "codi_franka.gym.environment:HandoffEnv",
        vector_entry_point="codi_franka.gym.vector:HandoffVectorEnv",
        max_episode_steps=MAX_EPISODE_STEPS,
    )
