"""One plan, drawn: what the base policies would do on their own, and what the cost makes of it.

It needs codi-franka. Two arms are to bring a cube to a goal that only one of them reaches.
"""

from codi_core import experiments

planned = experiments.plan("franka-handoff", seed=1, unguided=64)

alone = planned.unguided_cost  # (64,), of samples of the base policies
print(f"without guidance: median cost {alone.median():.3f}, lowest {alone.min():.3f}")
print(f"the plan: cost {planned.cost:.3f}, {planned.plan.chunks[0].shape[1]} actions an arm")

planned.figure().savefig("plan.png", dpi=120)
print("wrote plan.png")
