"""Predictors: what joint actions of the arms lead to."""
