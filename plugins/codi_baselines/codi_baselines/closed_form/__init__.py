"""The closed-form benchmark: estimators of the guidance score against the exact solution."""
