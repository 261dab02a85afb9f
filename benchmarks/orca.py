"""How ORCA does on the navigation tasks, on the starts that ``codi-run`` gives CoDi.

    pip install --no-deps pyrvo
    python benchmarks/orca.py --task navigation-swap --agents 8 32 --episodes 200 --seed 1

ORCA is optimal reciprocal collision avoidance (van den Berg et al., 2011), from the library
``pyrvo``. Environment, vehicles with their limits, time limit, and the rules of success and contact
are the task's own. In each control step ORCA gets all true positions and velocities, as CoDi does,
and chooses a velocity a robot, which is the robot's command: a holonomic robot goes from its own
velocity towards its command by at most what its acceleration allows, and comes as near to it as it
can. Unicycles can't drive in any direction at once and are left out.

Robots prefer to follow their own shortest paths. Two rivals:

plain
    with that preference, and the settings of RVO2's circle example in our robots' size.
tuned
    with the preference turned to the right by an angle, a time horizon, and a margin around robots
    and obstacles. The three come from a grid: all of it on a few starts, the best on more. Those
    starts have a seed that no figure is reported for.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from reporting import CONSOLE, options, save, table
from torch import Tensor

from codi_core import experiments
from codi_core.errors import CodiError
from codi_core.evaluation.progress import Lines
from codi_core.evaluation.statistics import wilson_interval
from codi_core.experiments import Experiment
from codi_core.tasks import EpisodeKey, EpisodeRecord, Metrics
from codi_navigation.maps.shapes import FAR
from codi_navigation.state import NavigationState
from codi_navigation.vehicles.base import ACCELERATION, PERIOD, TOP_SPEED

try:
    import pyrvo
except ImportError:
    pyrvo = None

TASKS = ("navigation-swap", "navigation-corridor", "navigation-warehouse")
RIVALS = ("plain", "tuned")
ROBOTS = 8192
"""How many robots are in the episodes that run at once."""
LOOK_AHEAD = 0.3
"""[m] The point on a robot's shortest path that it prefers to drive to."""
BRAKING = 0.8 * ACCELERATION
"""[m/s²] With which a robot prefers to come to rest at its goal."""
NEIGHBOURS, NEIGHBOUR_DISTANCE = 10, 4.0
"""How many others ORCA considers, and how far away [m]: two seconds of driving at each other."""
OBSTACLE_HORIZON = TOP_SPEED / ACCELERATION
"""[s] A robot needs that to brake from top speed."""
NUDGE = 1e-4
"""[m/s] RVO2's examples disturb preferred velocities by that much, against perfect symmetry."""


@attrs.frozen
class Settings:
    """What is chosen for ORCA.

    Attributes:
        turn: of preferred velocities to the right [degrees].
        horizon: for how long robots avoid one another [s].
        margin: by which radii are enlarged [m].
    """

    turn: float = 0.0
    horizon: float = 2.0
    margin: float = 0.0

    @classmethod
    def parsed(cls, given: str) -> Settings:
        """From ``TURN,HORIZON,MARGIN`` of a command line."""
        try:
            turn, horizon, margin = map(float, given.split(","))
        except ValueError:
            wanted = "TURN,HORIZON,MARGIN, such as 30,0.25,0.01"
            raise argparse.ArgumentTypeError(f"{given!r} is not {wanted}") from None
        return cls(turn, horizon, margin)

    def __str__(self) -> str:
        return f"{self.turn:g}°, {self.horizon:g} s, {100 * self.margin:g} cm"


PLAIN = Settings()
"""RVO2's circle example looks ahead as far as robots drive in 13 radii."""
TURNS = (0.0, 10.0, 20.0, 30.0, 40.0, 45.0, 50.0, 55.0)
HORIZONS = (0.1, 0.25, 0.5, 1.0, 2.0)
MARGINS = (0.0, 0.01, 0.02)
GRID = tuple(Settings(*numbers) for numbers in itertools.product(TURNS, HORIZONS, MARGINS))
FIRST_STARTS, FINALISTS = 2, 8
"""On how many starts all of the grid is tried, and how many settings are tried on more."""

Advance = Callable[[str], None]
Job = tuple[Settings, EpisodeKey]
"""An episode, and how ORCA is set in it."""


class Orca:
    """ORCA for the robots of one world.

    Args:
        settings: what is chosen.
        radius: of the robots [m].
        obstacles: boxes (O, 6), rows as ``SHAPE_FIELDS``.
        robots: N.
    """

    def __init__(
        self, settings: Settings, radius: float, obstacles: NDArray[Any], robots: int
    ) -> None:
        self.simulator = pyrvo.RVOSimulator(
            PERIOD,
            NEIGHBOUR_DISTANCE,
            NEIGHBOURS,
            settings.horizon,
            OBSTACLE_HORIZON,
            radius + settings.margin,
            TOP_SPEED,
        )
        for _ in range(robots):
            self.simulator.add_agent((0.0, 0.0))
        for shape in obstacles:
            self.simulator.add_obstacle(corners(shape).tolist())
        self.simulator.process_obstacles()

    def velocities(
        self, position: NDArray[Any], velocity: NDArray[Any], preferred: NDArray[Any]
    ) -> NDArray[np.float32]:
        """New velocities (N, 2) [m/s] from positions [m], velocities and preferred ones, (N, 2)."""
        simulator = self.simulator
        rows = zip(position.tolist(), velocity.tolist(), preferred.tolist(), strict=True)
        for number, (place, speed, wish) in enumerate(rows):
            simulator.set_agent_position(number, place)
            simulator.set_agent_velocity(number, speed)
            simulator.set_agent_pref_velocity(number, wish)
        simulator.do_step()
        chosen = [simulator.get_agent_velocity(row).to_tuple() for row in range(len(position))]
        return np.array(chosen, np.float32)


def corners(shape: NDArray[Any]) -> NDArray[np.float64]:
    """A box's corners (4, 2) [m], world frame, counterclockwise as RVO2 asks for."""
    x, y, half_length, half_width, angle, _ = (float(number) for number in shape)
    own = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (half_length, half_width)
    cos, sin = math.cos(angle), math.sin(angle)
    return own @ np.array([[cos, sin], [-sin, cos]]) + (x, y)


def preferred_velocities(state: NavigationState, turns: Tensor) -> Tensor:
    """Along the shortest paths, turned to the right by an angle a world, (B, N, 2) [m/s].

    Args:
        state: B worlds.
        turns: (B,) [degrees].
    """
    ahead = state.routes.ahead(state.position, (LOOK_AHEAD,))[0] - state.position
    to_go = state.routes.distance(state.position)
    speed = (2 * BRAKING * to_go).sqrt().clamp_max(TOP_SPEED)
    # Not faster than to be there at the end of the period.
    speed = torch.minimum(speed, to_go / PERIOD)
    x, y = (speed.unsqueeze(-1) * torch.nn.functional.normalize(ahead, dim=-1)).unbind(-1)
    cos, sin = turns.deg2rad().cos().unsqueeze(-1), turns.deg2rad().sin().unsqueeze(-1)
    return torch.stack((cos * x + sin * y, cos * y - sin * x), -1)


@attrs.define
class Clock:
    """Processor time that ORCA takes.

    Attributes:
        seconds: of all steps.
        steps: control steps of one world each.
    """

    seconds: float = 0.0
    steps: int = 0

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Around one step of one world."""
        began = time.process_time()
        yield
        self.seconds += time.process_time() - began
        self.steps += 1


def run(
    experiment: Experiment, jobs: Sequence[Job], advance: Advance = lambda said: None
) -> tuple[list[EpisodeRecord], Clock]:
    """The records of episodes as ``codi-run`` would score them, and ORCA's time."""
    clock, records = Clock(), []
    at_once = max(1, ROBOTS // len(experiment.opened.parts.agents))
    for first in range(0, len(jobs), at_once):
        wave = _Wave(experiment, jobs[first : first + at_once])
        while wave.running.any():
            wave.step(clock)
            advance(f"{first} of {len(jobs)} episodes done, {wave.said}")
        records += wave.records(experiment.opened.parts.metrics)
    return records, clock


class _Wave:
    """Episodes that run at once."""

    def __init__(self, experiment: Experiment, jobs: Sequence[Job]) -> None:
        self.environment = experiment.environment()
        self.now = self.environment.reset([key for _, key in jobs])
        self.turns = torch.tensor([settings.turn for settings, _ in jobs])
        self.draws = [np.random.default_rng([key.seed, key.episode]) for _, key in jobs]
        self.worlds = _worlds(self.now.state, jobs)
        self.seen: list[list[dict[str, NDArray[Any]]]] = [[] for _ in jobs]
        self.running = np.ones(len(jobs), dtype=bool)
        self._look()

    @property
    def said(self) -> str:
        """How far it is, for people."""
        return f"{self.running.sum()} under way for {self.now.time:.1f} s"

    def step(self, clock: Clock) -> None:
        """One control step of all worlds; robots of those that have ended stop."""
        state = self.now.state
        wishes = preferred_velocities(state, self.turns).numpy()
        position, velocity = state.position.numpy(), state.velocity.numpy()
        chosen = np.zeros_like(velocity)
        for world in np.flatnonzero(self.running):
            wish = wishes[world] + self.draws[world].uniform(-NUDGE, NUDGE, wishes[world].shape)
            with clock.step():
                chosen[world] = self.worlds[world].velocities(
                    position[world], velocity[world], wish
                )
        self.now = self.environment.step(torch.from_numpy(chosen).unbind(1))
        self._look()

    def records(self, metrics: Metrics) -> list[EpisodeRecord]:
        """What is said of each episode."""
        return [
            metrics.episode({name: np.stack([e[name] for e in seen]) for name in seen[0]}, PERIOD)
            for seen in self.seen
        ]

    def _look(self) -> None:
        events = self.now.events
        for world in np.flatnonzero(self.running):
            self.seen[world].append({name: value[world] for name, value in events.items()})
        self.running &= ~(events["succeeded"] | events["failed"])


def _worlds(state: NavigationState, jobs: Sequence[Job]) -> list[Orca]:
    shapes, radii = state.maps.obstacles.numpy(), state.radius[:, 0].tolist()
    return [
        # What fills up a batch stands far away.
        Orca(settings, radius, boxes[boxes[:, 0] < FAR], state.robots)
        for (settings, _), radius, boxes in zip(jobs, radii, shapes, strict=True)
    ]


def figures_of(records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Success with its interval, contact, and the times of what succeeded."""
    successes = sum(bool(record["success"]) for record in records)
    contacts = [record["robot_contact"] or record["obstacle_contact"] for record in records]
    times = [record["makespan_s"] for record in records if record["success"]]
    return {
        "episodes": len(records),
        "successes": successes,
        "interval_95": list(wilson_interval(successes, len(records))),
        "contact_rate": float(np.mean(contacts)),
        "obstacle_contact_rate": float(np.mean([r["obstacle_contact"] for r in records])),
        "deadlock_rate": float(np.mean([r["deadlock"] for r in records])),
        "arrived": float(np.mean([record["arrived"] for record in records])),
        "makespan_s": {
            "mean": float(np.mean(times)) if times else None,
            "median": float(np.median(times)) if times else None,
        },
        "closest_m": float(np.median([record["closest_m"] for record in records])),
    }


def tune(
    experiment: Experiment, grid: Sequence[Settings], seed: int, starts: int, advance: Advance
) -> tuple[Settings, list[dict[str, Any]]]:
    """The best of a grid, and what was found of each.

    The best has the most successes; then it is the fastest, then touches least, then brings the
    most robots to their goals.
    """
    tried: list[dict[str, Any]] = []

    def best(candidates: Sequence[Settings], count: int) -> list[Settings]:
        keys = [EpisodeKey(seed, number) for number in range(count)]
        jobs = list(itertools.product(candidates, keys))
        records, _ = run(experiment, jobs, lambda said: advance(f"tuning: {said}"))
        ranks = {}
        for number, settings in enumerate(candidates):
            found = figures_of(records[number * count : (number + 1) * count])
            tried.append({**attrs.asdict(settings), **found})
            mean = found["makespan_s"]["mean"]
            slow = math.inf if mean is None else mean
            ranks[settings] = (-found["successes"], slow, found["contact_rate"], -found["arrived"])
        return sorted(candidates, key=ranks.__getitem__)

    finalists = best(grid, min(FIRST_STARTS, starts))[:FINALISTS]
    return best(finalists, starts)[0], tried


def compare(
    given: argparse.Namespace, agents: int | None, advance: Advance
) -> list[dict[str, Any]]:
    """One row a rival."""
    experiment = experiments.prepare(given.task, {} if agents is None else {"agents": agents})
    keys = [EpisodeKey(given.seed, number) for number in range(given.episodes)]
    rows = []
    for rival in given.rivals:
        settings, row = PLAIN, {"rival": rival, "agents": len(experiment.opened.parts.agents)}
        if rival == "tuned":
            settings, row["tried"] = tune(
                experiment, given.grid, given.tuning_seed, given.tuning_episodes, advance
            )
        jobs = [(settings, key) for key in keys]
        records, clock = run(
            experiment, jobs, lambda said, rival=rival: advance(f"{rival}: {said}")
        )
        row |= {"settings": attrs.asdict(settings), "named": str(settings), **figures_of(records)}
        row["step_cpu_ms"] = 1e3 * clock.seconds / clock.steps
        rows.append(row)
    return rows


def main() -> int:
    given = _given()
    if pyrvo is None:
        CONSOLE.print("[red]error:[/] pyrvo is missing: pip install --no-deps pyrvo")
        return 2
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    try:
        with _display() as advance:
            for agents in given.agents or [None]:
                rows += compare(given, agents, advance)
    except CodiError as error:
        CONSOLE.print(f"[red]error:[/] {error}")
        return 2
    _report(rows, given)
    return 0


@contextlib.contextmanager
def _display() -> Iterator[Advance]:
    """Tells people what is being done: a live line on a terminal, a line now and then elsewhere."""
    if CONSOLE.is_terminal:
        with CONSOLE.status("") as status:
            yield status.update
    else:
        yield Lines().write


def _report(rows: list[dict[str, Any]], given: argparse.Namespace) -> None:
    cells = [
        [
            f"{row['rival']}, {row['agents']}",
            row["named"],
            f"{row['successes']} of {row['episodes']}",
            "{:.1f} to {:.1f} %".format(*(100 * bound for bound in row["interval_95"])),
            f"{100 * row['contact_rate']:.1f} %",
            *("-" if seconds is None else seconds for seconds in row["makespan_s"].values()),
            row["step_cpu_ms"],
        ]
        for row in rows
    ]
    CONSOLE.print(f"\n{given.task}, seed {given.seed}; tuned with seed {given.tuning_seed}")
    CONSOLE.print("makespan: mean and median of successes; a step: processor time of the team")
    columns = ["rival, robots", "settings", "success", "95 %", "contact", "makespan [s]", "median"]
    table("ORCA: turn to the right, time horizon, margin", [*columns, "a step [ms]"], cells)
    content = {"task": given.task, "seed": given.seed, "tuning_seed": given.tuning_seed}
    save(given.json, {**content, "rows": rows, "pyrvo": metadata.version("pyrvo")})


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--task", choices=TASKS, default=TASKS[0])
    parser.add_argument("--agents", type=int, nargs="+", metavar="N", help="default: the task's")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--rivals", choices=RIVALS, nargs="+", default=list(RIVALS))
    parser.add_argument("--tuning-seed", type=int, help="default: 1000 after --seed")
    parser.add_argument("--tuning-episodes", type=int, default=20, help="of the finalists")
    parser.add_argument(
        "--grid",
        type=Settings.parsed,
        nargs="+",
        default=list(GRID),
        metavar="TURN,HORIZON,MARGIN",
        help=f"what is tuned over [degrees, s, m] (default: {len(GRID)} settings); for large "
        "teams, which take long",
    )
    given = parser.parse_args()
    if given.tuning_seed is None:
        given.tuning_seed = given.seed + 1000
    if given.tuning_seed == given.seed:
        parser.error("--tuning-seed must differ from --seed: nobody is tuned on what is reported")
    if min(given.episodes, given.tuning_episodes) < 1:
        parser.error("--episodes and --tuning-episodes must be at least 1")
    return given


if __name__ == "__main__":
    sys.exit(main())
