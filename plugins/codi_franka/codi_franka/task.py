"""The task ``franka-handoff``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from codi_core.costs import CostFunction
from codi_core.errors import UsageError
from codi_core.planning import Observation
from codi_core.resources import Resources
from codi_core.tasks import Demonstrator, PlanSettings, Renderer, Task, TaskParts
from codi_franka.action import RATE_HZ
from codi_franka.handoff.costs import (
    TABLE_I,
    VARIANTS,
    ClearanceCost,
    CollisionCost,
    EngageAllCost,
    EngagementCost,
    GoalCost,
)
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.finish import finish
from codi_franka.handoff.frames import hold, restore
from codi_franka.handoff.metrics import HandoffMetrics, remark
from codi_franka.handoff.options import HandoffOptions
from codi_franka.observation import observe
from codi_franka.physics.model import build_model
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.physics.mujoco_rollouts import MujocoRollouts
from codi_franka.physics.nominal import build_nominal_model
from codi_franka.physics.rollouts import rollouts_of
from codi_franka.physics.simulator import SimulatorMaker
from codi_franka.policies import offers
from codi_franka.prediction.kinematic import KinematicPredictor, KinematicSettings
from codi_franka.prediction.physics import PhysicsPredictor
from codi_franka.prediction.trajectory import HandoffTrajectory
from codi_franka.robot.cell import ARMS
from codi_franka.state import FrankaState

WARM_START = "warm-start:sigma_warm=5.0,steps=8,cold=0.1"
"""Plans begin from the previous one: half of the rollouts, and arms that do not waver."""

PHYSICS_IN_THE_LOOP = PlanSettings(
    samples=24,
    execute=2,
    posterior="correlated",
    sampler="warm-start:sigma_warm=5.0,steps=4,cold=0.1",
    method="search:rollouts=128",
)
"""128 rollouts a replan, and 96 with ``--method codi``: two processors make a plan in less than the
0.2 s that its two executed actions last. Samples that are smooth in time need the fewest; see
``docs/results.md``."""

METHOD_SETTINGS: Mapping[str, Mapping[str, Any]] = {"search": {"execute": 2}}
"""Plans that follow each other sooner made searches faster to the goal, and CoDi's guidance no
better; see ``docs/estimators/search.md`` and ``docs/tuning.md``."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # CoDi as printed: Table I, N(E[a|a_t], t²I), each plan from pure noise.
    "paper": {
        "method": "codi",
        "cost": tuple(f"{name}={weight}" for name, weight in TABLE_I.items()),
        "posterior": "isotropic",
        "guidance": "monte-carlo",
        "sampler": "ancestral",
        "samples": 64,
        "temperature": 0.002,
        "steps": 16,
        "execute": 4,
        "finish": False,
    },
    # An eighth of the rollouts: samples that are smooth in time need the fewest.
    "fast": {
        "method": "codi",
        "predictor": "kinematic",
        "posterior": "correlated",
        "sampler": "warm-start:sigma_warm=5.0,steps=4,cold=0.1",
        "samples": 32,
    },
    # Costs see full physics, while the arms move on.
    "physics": {"predictor": "mujoco", "latency": 0.2},
}

COSTS: Mapping[str, Callable[..., CostFunction]] = {
    "handoff-goal": GoalCost,
    "handoff-collision": CollisionCost,
    "handoff-engagement": EngagementCost,
    "handoff-clearance": ClearanceCost,
    "handoff-engage-all": EngageAllCost,
}


class HandoffTask(Task):
    """Two arms bring a cube to a goal that may be out of reach for the arm that finds it."""

    Options = HandoffOptions

    def parts(self, options: HandoffOptions) -> TaskParts:
        """Make the parts for these options."""
        return TaskParts(
            agents=ARMS,
            rate_hz=RATE_HZ,
            environment=partial(_environment, options),
            policies=offers(),
            predictors={
                "kinematic": partial(_kinematic, options),
                "mujoco": partial(_mujoco, options),
                "physics": partial(_physics, options),
            },
            default_costs=TABLE_I,
            cost_variants=VARIANTS,
            metrics=HandoffMetrics(),
            renderer=_renderer(options),
            remark=remark,
            settings=PlanSettings(sampler=WARM_START, method="search"),
            settings_for={"mujoco": PHYSICS_IN_THE_LOOP, "physics": PHYSICS_IN_THE_LOOP},
            method_settings=METHOD_SETTINGS,
            max_seconds=60.0,
            advance=_Advance(options),
            demonstrator=_demonstrator,
            joint_demonstrator=_joint_demonstrator,
            restore=partial(restore, options),
            hold=hold,
            finish=finish(options.handed),
            simulator="mujoco",
            presets=PRESETS,
            paths=_paths,
            options=options,
        )

    def costs(self) -> Mapping[str, Callable[..., CostFunction]]:
        """The terms of Eq. 20, and the one of the ablation CoDi-Indep."""
        return COSTS


def _environment(
    options: HandoffOptions, resources: Resources, make_simulator: SimulatorMaker | None = None
) -> FrankaEnvironment:
    return FrankaEnvironment(options, make_simulator or MujocoMaker(resources.threads))


def _kinematic(
    options: HandoffOptions, resources: Resources, **settings: Any
) -> KinematicPredictor:
    return KinematicPredictor(ARMS, KinematicSettings(**settings), options.handed)


def _mujoco(options: HandoffOptions, resources: Resources) -> PhysicsPredictor:
    return _physics(options, resources)


def _physics(
    options: HandoffOptions, resources: Resources, simulator: SimulatorMaker | None = None
) -> PhysicsPredictor:
    """In MuJoCo, or in the simulator whose maker stands for the option's name."""
    if options.box is None:
        return PhysicsPredictor(ARMS, rollouts_of(simulator or MujocoMaker(resources.threads)))
    if simulator is not None:
        raise UsageError("--box: predictors with a simulator of their own know the cube alone")
    model = build_nominal_model(ARMS, box=options.handed)
    return PhysicsPredictor(ARMS, partial(MujocoRollouts, threads=resources.threads, model=model))


def _paths(trajectory: HandoffTrajectory) -> dict[str, Tensor]:
    """The hands and the cube as seen from above, (B, M, K, 2) each."""
    hands = trajectory.hand_position[..., :2].unbind(-2)
    named = {f"{arm} hand": hand for arm, hand in zip(ARMS, hands, strict=True)}
    return {**named, "cube": trajectory.cube_position[..., :2]}


class _Advance:
    """Foresees the state at the end of committed actions, with nominal physics."""

    def __init__(self, options: HandoffOptions) -> None:
        # A few steps of one copy a world: there is time for the environment's own model.
        make = partial(MujocoRollouts, threads=0, model=build_model(ARMS, box=options.handed))
        self.predictor = PhysicsPredictor(ARMS, make)

    def __call__(
        self, state: FrankaState, chunks: tuple[Tensor, ...]
    ) -> tuple[FrankaState, Observation]:
        later = self.predictor.advance(state, chunks)
        return later, observe(later, ARMS)


def _renderer(options: HandoffOptions) -> Renderer:
    from codi_franka.rendering.video_renderer import HandoffRenderer

    return HandoffRenderer(box=options.handed)


def _demonstrator(resources: Resources) -> Demonstrator:
    from codi_franka.collection.demonstrator import HandoffDemonstrator

    return HandoffDemonstrator(resources.threads)


def _joint_demonstrator(resources: Resources) -> Demonstrator:
    from codi_franka.collection.joint_demonstrator import HandoffJointDemonstrator

    return HandoffJointDemonstrator(resources.threads)
