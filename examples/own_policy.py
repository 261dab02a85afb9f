"""A kind of base policy of one's own: robots that were told, not trained, how to drive alone.

It needs codi-navigation, whose task says what is read and written. The policy is a Gaussian around
driving along one's own path. It knows of no other robot; that they keep clear is due to the cost.
"""

import sys

import torch

from codi_core import (
    BasePolicy,
    BasePolicyRecord,
    Normaliser,
    experiments,
    hookimpl,
    register_plugin,
)


class PathFollower(BasePolicy):
    """N(mean, spread²) over velocity commands; the mean drives to the point 0.6 m ahead."""

    def __init__(self, spec, device, spread):
        self.spec, self.spread = spec, spread
        self.normaliser = Normaliser(torch.zeros(2), torch.full((2,), spread)).to(device)

    def denoiser(self, observation):
        """E[a | a_t] in normalised units, where the policy is N(mean, 1)."""
        ahead = observation["observation.environment_state"][:, -1, :2]  # (B, 2) in 0.6 m
        mean = (1.5 * ahead / self.spread).repeat(1, self.spec.action.horizon)  # (B, K·2), flat

        def denoise(noisy, sigma):  # (B, ..., K·2) and () or (B,)
            variance = sigma.square().reshape(-1, *[1] * (noisy.ndim - 1))
            prior = mean.reshape(len(mean), *[1] * (noisy.ndim - 2), -1)
            return (noisy + variance * prior) / (1 + variance)

        return denoise


def make_policy(spec, checkpoint, resources, spread=0.6):
    """Called for each kind of agents, with the options of --policy path-follower:spread=0.6."""
    return PathFollower(spec, resources.device, spread)


@hookimpl
def codi_base_policies():
    yield BasePolicyRecord("path-follower", "a Gaussian along the path", make_policy)


register_plugin(sys.modules[__name__])

if __name__ == "__main__":
    for method in ("base", "codi"):
        run = experiments.run(
            "navigation-swap",
            task_options={"agents": 3},
            policy="path-follower:spread=0.6",
            method=method,
            episodes=4,
            seed=1,
            output=f"runs/path-follower/{method}",
            overwrite=True,
            progress=False,
        )
        met = run.metrics["task_metrics"]["robot_contact_rate"]
        print(f"{method}: success {run.metrics['success_rate']:.0%}, contact in {met:.0%}")
