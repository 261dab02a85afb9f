"""The version of codi-core."""

__version__ = "0.1.0"
