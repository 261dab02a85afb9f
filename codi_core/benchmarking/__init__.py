"""Benchmarks: many cells that are measured one by one, each kept as soon as it is there."""
