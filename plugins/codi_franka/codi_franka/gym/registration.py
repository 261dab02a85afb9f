"""Registers the environment with gymnasium without importing it.

``gymnasium.make("codi_franka:codi/FrankaHandoff-v0")`` imports ``codi_franka`` and then looks the
name up. Importing gymnasium here as well would cost every command line call a tenth of a second,
so the name is registered when somebody else imports gymnasium, before or after this package.
"""

from __future__ import annotations

from typing import Any

from codi_core.host.late_import import when_imported

ENVIRONMENT_ID = "codi/FrankaHandoff-v0"
MAX_EPISODE_STEPS = 600
"""60 s at 10 Hz."""


def register_with_gymnasium() -> None:
    """Register now if gymnasium is imported, or else as soon as it is."""
    when_imported("gymnasium.envs.registration", _register)


def _register(registration: Any) -> None:
    if ENVIRONMENT_ID not in registration.registry:
        registration.register(
            id=ENVIRONMENT_ID,
            entry_point="codi_franka.gym.environment:HandoffEnv",
            vector_entry_point="codi_franka.gym.vector:HandoffVectorEnv",
            max_episode_steps=MAX_EPISODE_STEPS,
        )
