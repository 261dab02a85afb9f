"""Planners by name: the paper's ablations and baselines."""
