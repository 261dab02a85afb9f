"""Numbers of training that stand in a command's help as well as in the parts that take them."""

from __future__ import annotations

HORIZON = 16
"""K, actions in a chunk."""

UNET_WIDTHS, UNET_BLOCKS = (64, 128), 1
"""Channels at each resolution, and residual blocks at each of them, down and up."""

MLP_WIDTH, MLP_DEPTH, MLP_EXPANSION = 256, 4, 3
"""Of the residual layers: the width, how many there are, and how much wider they are inside."""

SIGMA_DATA = 1.0
"""Standard deviation of normalised actions."""

NOISE_MEAN, NOISE_STD = -0.8, 1.2
"""Of ln sigma in training."""

BATCH_SIZE = 256
"""Examples a step."""

LEARNING_RATE = 1e-3
"""The highest one."""

WARM_UP = 500
"""Steps until the learning rate is reached."""

WEIGHT_DECAY = 1e-6
"""Of AdamW."""

EMA_POWER, EMA_MAXIMUM = 0.75, 0.9999
"""Of the averaged weights: the exponent of the warm-up, and the highest decay."""
