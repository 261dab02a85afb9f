"""Estimators compared in closed loop, on a task, at equal numbers of rollouts."""
