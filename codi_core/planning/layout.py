"""What a flat joint chunk means: one frozen object for everybody who reads or writes chunks."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from codi_core.planning.defaults import SIGMA_RANGE


@attrs.frozen
class ChunkLayout:
    """How N agents' action chunks lie in a flat joint chunk, and what the policies read.

    The product policy makes it; the loop, the guidance, the posteriors and the samplers read it.

    Attributes:
        agents: the agents that each of F factors covers.
        blocks: the columns of each factor in a flat joint chunk.
        action_sizes: A_i, the number of values in one action of each agent, in agents' order.
        horizon: K, the number of actions in a chunk.
        rate_hz: the control rate [Hz].
        offset: the control step, relative to a plan's start, of the chunk's first action.
        history: H, the longest history of observations that a factor reads.
        observations: by factor, the shape of each named observation that its policy reads,
            without worlds and history.
        sigma_range: the noise levels (lowest, highest) that all policies know.
    """

    agents: tuple[tuple[int, ...], ...]
    blocks: tuple[slice, ...]
    action_sizes: tuple[int, ...]
    horizon: int
    rate_hz: float = 10.0
    offset: int = 0
    history: int = 1
    observations: tuple[Mapping[str, tuple[int, ...]], ...] = ()
    sigma_range: tuple[float, float] = SIGMA_RANGE

    @property
    def size(self) -> int:
        """D, the number of values in a flat joint chunk."""
        return int(self.blocks[-1].stop)
