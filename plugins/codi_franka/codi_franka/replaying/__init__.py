"""Recorded runs, of arms or of a simulation, driven through a simulator once more."""
