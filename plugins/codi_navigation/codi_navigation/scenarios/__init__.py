"""Scenarios: what maps, starts and goals episodes have."""
