"""Vehicle kinds: how disks answer to commands and how they move."""

from codi_navigation.vehicles.base import Vehicle
from codi_navigation.vehicles.holonomic import Holonomic
from codi_navigation.vehicles.team import VEHICLES, Team
from codi_navigation.vehicles.unicycle import Unicycle

__all__ = ["VEHICLES", "Holonomic", "Team", "Unicycle", "Vehicle"]
