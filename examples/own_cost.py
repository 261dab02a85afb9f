"""A cost of one's own: robots that change places are asked to drive at no more than 0.6 m/s.

It needs codi-navigation. The policies are the shipped ones, and nothing is trained again.
"""

import sys

import numpy as np

from codi_core import CostRecord, experiments, hookimpl, register_plugin
from codi_core.costs import CostTerms, LocalCost


class SpeedLimit(LocalCost):
    """How much faster than a limit each robot drives, on average over the chunk [m/s]."""

    def __init__(self, limit=0.6):
        self.limit = limit

    def terms(self, trajectory):
        """One term for each robot, so that `factored` guidance can weigh them apart."""
        steps = trajectory.position.diff(dim=2)  # (B, M, K - 1, N, 2) [m] in 0.1 s each
        speed = steps.norm(dim=-1) / 0.1  # (B, M, K - 1, N)
        return CostTerms.of_agents((speed - self.limit).clamp_min(0).mean(2).mT)  # (B, N, M)


@hookimpl
def codi_costs():
    yield CostRecord("speed-limit", "robots keep to a speed limit", SpeedLimit)


register_plugin(sys.modules[__name__])  # what others are to use goes into a distribution instead

if __name__ == "__main__":
    for name, cost in (("without", ()), ("with", "+speed-limit=10:limit=0.6")):
        run = experiments.run(
            "navigation-swap",
            task_options={"agents": 4},
            cost=cost,  # "+" adds it to the task's own cost, with the weight 10
            episodes=4,
            seed=1,
            output=f"runs/speed-limit/{name}",
            overwrite=True,
            progress=False,
        )
        steps = np.diff(run.traces[0]["position"], axis=0)  # (T, N, 2) [m]
        fastest = np.linalg.norm(steps, axis=-1).max() / 0.1
        rate, makespan = run.metrics["success_rate"], run.metrics["task_metrics"]["makespan_s"]
        print(f"{name}: success {rate:.0%}, makespan {makespan:.2f} s, at most {fastest:.2f} m/s")
