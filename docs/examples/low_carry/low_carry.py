from codi_core import CostFunction, CostRecord, hookimpl


class LowCarry(CostFunction):
    """How far the cube rises above a height, at most [m]."""

    def __init__(self, height: float = 0.15):
        self.height = height

    def __call__(self, trajectory):
        highest = trajectory.cube_position[..., 2].amax(-1)  # over K steps: (B, M)
        return (highest - self.height).clamp_min(0.0)


@hookimpl
def codi_costs():
    yield CostRecord("low-carry", "keeps the cube low", LowCarry, tasks=("franka-handoff",))
