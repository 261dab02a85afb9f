"""The paper's simulation experiments: its figures, its claims, and one table of all methods."""
