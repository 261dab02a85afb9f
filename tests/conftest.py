"""What all tests share: one thread, and hypothesis without surprises."""

from __future__ import annotations

import os

# Before torch and NumPy are imported: small tensors are slower on several threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from contextlib import suppress

import hypothesis
import torch

# Triton crashes the process if it is loaded after Mesa's software renderer: both bring an LLVM.
with suppress(ImportError):
    import triton  # noqa: F401

torch.set_num_threads(1)

# The same examples in each run: a failure is a failure for everybody. `--hypothesis-profile=search`
# looks for new ones.
hypothesis.settings.register_profile("codi", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("codi")
