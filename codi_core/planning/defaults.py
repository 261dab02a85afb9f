"""Numbers that several parts take for granted unless they are told otherwise."""

from __future__ import annotations

SAMPLES = 64
"""M, how many samples of the posterior, or of the base policies, are drawn."""

TEMPERATURE = 0.002
"""λ of Eq. 6, in units of the cost."""

SIGMA_RANGE = (0.002, 80.0)
"""The noise levels (lowest, highest) of a policy: those of Karras et al. (2022)."""
