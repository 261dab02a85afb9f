"""What a base policy is trained on."""

from __future__ import annotations

import attrs
from torch import Tensor

from codi_core.planning import Observation


@attrs.frozen
class Batch:
    """n windows of demonstrations, in physical units.

    Attributes:
        observation: named tensors (n, H, ...), oldest first.
        actions: the chunks that followed, (n, K, A).
    """

    observation: Observation
    actions: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        observation = {name: value.to(device) for name, value in self.observation.items()}
        return Batch(observation, self.actions.to(device))
