"""Demonstrations of one robot: an expert on random maps, and never a second robot."""
