"""Trials of what keeps real arms safe: hostile commands, ideal arms, and a judge of the result."""
