"""The handoff task as a gymnasium environment, single and vectorised."""
