"""Teams of disk robots in the plane, for CoDi."""

from codi_navigation.gym.registration import register

register()
