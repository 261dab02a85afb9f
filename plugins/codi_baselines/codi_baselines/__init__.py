"""Comparisons for codi_core: what methods and estimators are measured against."""

__version__ = "0.1.0"
