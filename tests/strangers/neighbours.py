"""A policy without training: what was done in the most similar situations of a data set."""

import torch

from codi_core import BasePolicy, BasePolicyRecord, Normaliser, UsageError, hookimpl
from codi_core.data import DemonstrationDataset, segments


@hookimpl
def codi_base_policies():
    yield BasePolicyRecord("neighbours", "what was done in similar situations", make_policy)


def make_policy(spec, checkpoint, resources, data=None, count=64, spread=0.3):
    """For ``--policy neighbours:data=FOLDER``, a data set of codi-collect for the task."""
    if data is None:
        raise UsageError("neighbours needs demonstrations: --policy neighbours:data=FOLDER")
    names, action = sorted(spec.observation), spec.action
    windows = segments(DemonstrationDataset.load(data), action.horizon, names, history=spec.history)
    batch = windows.gather(torch.arange(len(windows)))
    return Neighbours(spec, batch, count, spread, resources.device)


class Neighbours(BasePolicy):
    """An equal mixture of the chunks of the nearest situations, each N(chunk, spread²)."""

    def __init__(self, spec, batch, count, spread, device):
        self.spec, self.count, self.variance = spec, count, spread**2
        self.normaliser = Normaliser.fit(batch.actions.flatten(0, 1)).to(device)
        self.chunks = self.normaliser.encode(batch.actions.to(device)).flatten(1)  # (n, K·A)
        seen = self.flat(batch.observation).to(device)
        self.scale = Normaliser.fit(seen).to(device)
        self.seen = self.scale.encode(seen)

    def flat(self, observation):
        return torch.cat(
            [observation[name].flatten(1) for name in sorted(self.spec.observation)], 1
        )

    def denoiser(self, observation):
        away = torch.cdist(self.scale.encode(self.flat(observation)), self.seen)  # (B, n)
        chunks = self.chunks[away.topk(self.count, largest=False).indices]  # (B, count, K·A)

        def denoise(noisy, sigma):
            one = [1] * (noisy.ndim - 2)
            centres = chunks.reshape(len(chunks), *one, self.count, -1)
            variance = sigma.square().reshape(-1, *one, 1, 1)
            off = noisy.unsqueeze(-2) - centres
            share = (-off.square().sum(-1, keepdim=True) / 2 / (self.variance + variance)).softmax(
                -2
            )
            return (share * (centres + off * self.variance / (self.variance + variance))).sum(-2)

        return denoise
