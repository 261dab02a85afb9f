"""The Franka two-arm task for CoDi."""

from codi_franka.gym.registration import register_with_gymnasium

register_with_gymnasium()
