"""Evaluation: episodes in waves, run folders, metrics, pictures."""
