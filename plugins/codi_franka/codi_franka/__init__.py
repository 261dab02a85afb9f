"""The Franka two-arm task for CoDi."""

from codi_franka.gym.registration import register

register()
