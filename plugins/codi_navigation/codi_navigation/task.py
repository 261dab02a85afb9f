"""The navigation tasks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from codi_core.costs import CostFunction
from codi_core.planning import Observation
from codi_core.policies import AgentView, PolicySpec, RecordedView, observation_feature
from codi_core.resources import Resources
from codi_core.tasks import (
    Demonstrator,
    Environment,
    FactorLayout,
    PlanSettings,
    PolicyOffer,
    Renderer,
    Task,
    TaskParts,
)
from codi_core.tasks.task import GOAL_ALONE, INDEPENDENT
from codi_navigation.action import RATE_HZ, action_spec, joint_action_spec
from codi_navigation.costs import (
    DetourCost,
    GoalCost,
    ImminentCost,
    JunctionCost,
    KeepRightCost,
    ObstacleCost,
    RoundaboutCost,
    SeparationCost,
)
from codi_navigation.metrics import NavigationMetrics
from codi_navigation.observation import SHAPES, observe
from codi_navigation.options import CollectionOptions, NavigationOptions
from codi_navigation.prediction.predictor import NavigationPredictor
from codi_navigation.rendering.remark import remark
from codi_navigation.scenarios.base import Scenario, time_limit, travel_time
from codi_navigation.scenarios.corridor import (
    Corridor,
    CorridorCollectionOptions,
    CorridorOptions,
)
from codi_navigation.scenarios.swap import Swap, SwapOptions
from codi_navigation.scenarios.warehouse import Warehouse, WarehouseOptions
from codi_navigation.simulation.contacts import drive
from codi_navigation.simulation.environment import NavigationEnvironment
from codi_navigation.simulation.frames import Restorer, hold
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team
from codi_navigation.vehicles.team import MIXED

SHIPPED_CHECKPOINTS = Path(__file__).parent / "checkpoints"

COSTS: Mapping[str, Callable[..., CostFunction]] = {
    "navigation-goal": GoalCost,
    "navigation-separation": SeparationCost,
    "navigation-imminent": ImminentCost,
    "navigation-obstacles": ObstacleCost,
    "navigation-keep-right": KeepRightCost,
    "navigation-junction": JunctionCost,
    "navigation-roundabout": RoundaboutCost,
    "navigation-detour": DetourCost,
}

SETTINGS = PlanSettings(
    samples=64,
    temperature=0.025,
    execute=1,
    posterior="correlated",
    guidance="factored",
    sampler="warm-start:sigma_warm=3.0,steps=8,cold=0.0",
    method="search",
)
"""Each robot weighs its own samples, and those are smooth. The sampler is that of ``codi``, whose
plans begin from the previous one."""

METHOD_SETTINGS: Mapping[str, Mapping[str, Any]] = {"search": {"samples": 128}}
"""Teams have more to mend after the selection than two arms, and rollouts of disks are cheap; see
``docs/navigation.md``."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The paper's estimator: one weight for all robots, N(E[a|a_t], t²I), each plan from pure noise.
    "paper": {
        "method": "codi",
        "posterior": "isotropic",
        "guidance": "monte-carlo",
        "sampler": "ancestral",
        "samples": 64,
        "steps": 16,
    },
    # Half of the rollouts.
    "fast": {"method": "codi", "samples": 32},
}

WEIGHTS = {
    "navigation-goal": 1.0,
    "navigation-separation": 40.0,
    "navigation-imminent": 80.0,
    "navigation-obstacles": 40.0,
    "navigation-junction": 1.5,
    "navigation-roundabout": 3.0,
    "navigation-detour": 1.0,
}
"""Of the terms that tasks use by default."""

ALONE = ("navigation-goal", "navigation-obstacles")
"""Terms that ask nothing of a robot for others' sake: no distance, and no rule of the traffic."""

CROWD = 64
"""So many robots meet so often that what is imminent counts apart, where it doesn't in any case."""


class NavigationTask(Task):
    """N disk robots, each to its own goal.

    Attributes:
        terms: the names of the task's own cost terms.
        weights: theirs, by name.
    """

    Options: type[Any] = NavigationOptions
    CollectionOptions: type[Any] = CollectionOptions
    terms: tuple[str, ...] = ("navigation-goal", "navigation-separation")
    weights: ClassVar[Mapping[str, float]] = WEIGHTS

    @abstractmethod
    def scenario(self, options: Any) -> Scenario:
        """What episodes are about.

        Raises:
            UsageError: the robots do not fit.
        """

    def parts(self, options: Any) -> TaskParts:
        """Make the parts for these options."""
        scenario, team = self.scenario(options), Team.of(options.vehicle, options.agents)

        def environment(resources: Resources) -> Environment:
            return NavigationEnvironment(scenario, team, options, resources)

        def demonstrator(resources: Resources) -> Demonstrator:
            from codi_navigation.collection.demonstrator import NavigationDemonstrator

            return NavigationDemonstrator(options.vehicle)

        return TaskParts(
            agents=team.names,
            rate_hz=RATE_HZ,
            environment=environment,
            policies=self.policies(options, team),
            predictors={"kinematic": lambda resources: NavigationPredictor(team)},
            default_costs=self.default_costs(team),
            cost_variants=self.cost_variants(),
            metrics=NavigationMetrics(),
            renderer=_renderer(),
            remark=remark,
            settings=SETTINGS,
            method_settings=METHOD_SETTINGS,
            max_seconds=time_limit(travel_time(scenario.longest, max(team.turning_round))),
            after_success=0.0,
            advance=_Advance(team),
            demonstrator=demonstrator,
            joint_demonstrator=self.joint_demonstrator(options),
            restore=_restorer(scenario, team, options.radius),
            hold=hold,
            presets=PRESETS,
            ragged=frozenset({"obstacles", "passages", "roundabouts"}),
            paths=lambda trajectory: dict(
                zip(team.names, trajectory.position.unbind(-2), strict=True)
            ),
        )

    def policies(self, options: Any, team: Team) -> Mapping[str, PolicyOffer]:
        """The base policies that the task offers."""
        return {"single-agent": single_agent(team)}

    def joint_demonstrator(self, options: Any) -> Callable[[Resources], Demonstrator] | None:
        """What makes joint demonstrations, if the task has any."""
        return None

    def default_costs(self, team: Team) -> dict[str, float]:
        """The weights of the task's own cost for a team of this size."""
        crowd = ("navigation-imminent",) if len(team) >= CROWD else ()
        return {name: self.weights[name] for name in dict.fromkeys((*self.terms, *crowd))}

    def cost_variants(self) -> dict[str, dict[str, float]]:
        """What robots want of themselves, with and without the obstacles on their ways."""
        alone = [name for name in self.terms if name in ALONE]
        return {
            GOAL_ALONE: {ALONE[0]: self.weights[ALONE[0]]},
            INDEPENDENT: {name: self.weights[name] for name in alone},
        }

    def costs(self) -> Mapping[str, Callable[..., CostFunction]]:
        """The costs of all navigation tasks."""
        return COSTS


class SwapTask(NavigationTask):
    """Robots on a circle change places."""

    Options = SwapOptions
    terms = (*NavigationTask.terms, "navigation-roundabout", "navigation-detour")

    def scenario(self, options: SwapOptions) -> Scenario:
        """The circle."""
        return Swap(options)


class CorridorTask(NavigationTask):
    """Two groups change sides through a passage one robot wide."""

    Options = CorridorOptions
    CollectionOptions = CorridorCollectionOptions
    terms = (*NavigationTask.terms, "navigation-obstacles", "navigation-junction")

    def scenario(self, options: CorridorOptions) -> Scenario:
        """Two chambers and the passage."""
        return Corridor(options)

    def policies(self, options: CorridorOptions, team: Team) -> Mapping[str, PolicyOffer]:
        """Two robots of a kind may also have a policy of both."""
        offers = super().policies(options, team)
        both = len(team) == 2 and options.vehicle != MIXED
        return {**offers, "joint": joint(team)} if both else offers

    def joint_demonstrator(
        self, options: CorridorOptions
    ) -> Callable[[Resources], Demonstrator] | None:
        """Of two robots; it refuses other teams."""
        return partial(_corridor_joint_demonstrator, options)


class WarehouseTask(NavigationTask):
    """Robots between random shelves go to random goals.

    Obstacles weigh three times what other robots do: who has two of these on one side isn't pushed
    into a shelf on the other.
    """

    Options = WarehouseOptions
    terms = (*NavigationTask.terms, "navigation-obstacles", "navigation-imminent")
    weights: ClassVar[Mapping[str, float]] = {**WEIGHTS, "navigation-obstacles": 120.0}

    def scenario(self, options: WarehouseOptions) -> Scenario:
        """The hall."""
        return Warehouse(options)


def single_agent(team: Team) -> PolicyOffer:
    """One factor a robot; robots of a kind share one policy."""
    specs = {kind: PolicySpec(action_spec(kind), SHAPES) for kind in dict.fromkeys(team.kinds)}
    return PolicyOffer(
        "one policy for each kind of vehicle, from demonstrations of one robot",
        tuple(
            FactorLayout(kind, (index,), AgentView(robot), specs[kind])
            for index, (kind, robot) in enumerate(zip(team.kinds, team.names, strict=True))
        ),
        {kind: SHIPPED_CHECKPOINTS / f"{kind}.safetensors" for kind in specs},
        students=tuple(SHIPPED_CHECKPOINTS / f"{kind}-student.safetensors" for kind in specs),
    )


def joint(team: Team) -> PolicyOffer:
    """One factor for all robots, whose policy was trained on joint demonstrations."""
    shapes = {
        observation_feature(f"{robot}/{name}"): shape
        for robot in team.names
        for name, shape in SHAPES.items()
    }
    factor = FactorLayout(
        "joint",
        tuple(range(len(team))),
        RecordedView(),
        PolicySpec(joint_action_spec(team), shapes),
    )
    # Only that of two holonomic robots is shipped, for the corridor; others are the user's.
    shipped = {"joint": SHIPPED_CHECKPOINTS / "corridor-joint.safetensors"}
    holonomic = set(team.kinds) == {"holonomic"}
    summary = "one policy for all robots, from joint demonstrations"
    return PolicyOffer(summary, (factor,), shipped if holonomic else {})


class _Advance:
    """Foresees the state at the end of committed commands."""

    def __init__(self, team: Team) -> None:
        self.team = team

    def __call__(
        self, state: NavigationState, chunks: tuple[Tensor, ...]
    ) -> tuple[NavigationState, Observation]:
        for step in range(chunks[0].shape[1]):
            commands = [chunk[:, step] for chunk in chunks]
            state = drive(state, self.team, torch.stack(commands, 1)).state
        return state, observe(state, self.team)


def _corridor_joint_demonstrator(options: CorridorOptions, resources: Resources) -> Demonstrator:
    from codi_navigation.collection.joint_demonstrator import CorridorJointDemonstrator

    return CorridorJointDemonstrator(options)


def _restorer(scenario: Scenario, team: Team, radius: float) -> Restorer | None:
    """Frames alone do not say where obstacles are that differ from episode to episode."""
    if scenario.map is None:
        return None
    return Restorer(scenario, scenario.map, team, radius)


def _renderer() -> Renderer:
    from codi_navigation.rendering.renderer import NavigationRenderer

    return NavigationRenderer()
