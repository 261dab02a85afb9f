"""Bias and variance of factored guidance on chains and grids, against exact Gaussian solutions."""
