"""A kind of base policy: a Gaussian around the controller that brings a mass to a place."""

import torch

from codi_core import BasePolicy, BasePolicyRecord, Normaliser, hookimpl


@hookimpl
def codi_base_policies():
    yield BasePolicyRecord("go-there", "a Gaussian around the way to a place", GoThere)


class GoThere(BasePolicy):
    """Reads ``way``: the offset to the place and the velocity, (B, 1, 4). Moves along x and y."""

    def __init__(self, spec, checkpoint, resources, stiffness=3.0, damping=1.2):
        self.spec = spec
        self.normaliser = Normaliser(torch.zeros(2), torch.ones(2)).to(resources.device)
        self.stiffness, self.damping = stiffness, damping

    def denoiser(self, observation):
        offset, velocity = observation["way"][:, -1].split(2, -1)
        action = (self.stiffness * offset - self.damping * velocity).clamp(-1, 1)
        mean = action.repeat(1, self.spec.action.horizon)  # (B, K·2)

        def denoise(noisy, sigma):
            variance = sigma.square().reshape(-1, *[1] * (noisy.ndim - 1))
            prior = mean.reshape(len(mean), *[1] * (noisy.ndim - 2), -1)
            return (noisy + variance * prior) / (1 + variance)

        return denoise
