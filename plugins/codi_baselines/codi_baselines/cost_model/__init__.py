"""Classifier guidance: a noise-conditioned cost model, its training and its gradient."""
