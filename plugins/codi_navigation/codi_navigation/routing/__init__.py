"""Single robots' shortest paths: how far it is to a goal, and which way."""

from codi_navigation.routing.on_one_map import RoutesOnMap
from codi_navigation.routing.routes import Routes, plan_routes

__all__ = ["Routes", "RoutesOnMap", "plan_routes"]
