"""Our shaping of joint velocities beside ruckig's, and what a period of the stream costs.

    pip install ruckig
    python benchmarks/joint_shaping.py

Both get the same wanted velocities of one arm, under the same limits of acceleration and jerk: an
action's velocity held for 0.1 s, one that changes each period, and one that is held until a joint
is at its limit. What they make is judged at 1 kHz against what Franka publishes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from reporting import options, save, spread, table

from codi_franka.hardware.motion.action_stream import ActionStream
from codi_franka.hardware.motion.limits import MotionLimits
from codi_franka.hardware.motion.shaping import Motion, Shaper
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import safety_settings
from codi_franka.hardware.trials import judge
from codi_franka.hardware.trials.ideal_arms import IdealArms
from codi_franka.robot.controller import HOME

Array = NDArray[np.float64]
PERIOD = 0.005
SECONDS = 3.0


def main() -> int:
    """Print the tables."""
    given = options(__doc__).parse_args()
    rng = np.random.default_rng(given.seed)
    figures = {"shaping": shaping(rng), "stream": stream(rng)}
    rows = [
        [f"{name}, {maker}", *values.values()]
        for name, makers in figures["shaping"].items()
        for maker, values in makers.items()
    ]
    table("Shaping", ["wanted", "µs", "mean |v - w| [rad/s]", "beyond a limit [rad]"], rows)
    costs = [[name, *values.values()] for name, values in figures["stream"].items()]
    table("A period of both arms, processor time [ms]", ["part", "median", "p95"], costs)
    save(given.json, figures)
    return 0


def shaping(rng: np.random.Generator) -> dict[str, dict[str, dict[str, float]]]:
    """Ruckig and ours on the same wishes."""
    periods = round(SECONDS / PERIOD)
    hold = round(0.1 / PERIOD)
    limit = np.zeros((periods, 7))
    limit[:, 4] = 1.2
    wishes = {
        "an action each 0.1 s": np.repeat(rng.normal(0, 0.3, (periods // hold, 7)), hold, 0),
        "another each period": rng.normal(0, 0.3, (periods, 7)),
        "towards a limit": limit,
    }
    makers: dict[str, Callable[[Array, list[float]], Array]] = {"ours": ours, "ruckig": theirs}
    return {
        name: {maker: measured(make, wanted) for maker, make in makers.items()}
        for name, wanted in wishes.items()
    }


def measured(make: Callable[[Array, list[float]], Array], wanted: Array) -> dict[str, float]:
    """Microseconds a period, distance from what was wanted, and the worst broken position limit."""
    spent: list[float] = []
    velocities = make(wanted, spent)
    broken = judge.violations(np.array(HOME), judge.ramps(velocities, PERIOD))
    return {
        "microseconds": 1e6 * float(np.median(spent)),
        "distance": float(np.abs(velocities - wanted).mean()),
        "beyond": broken["position"],
    }


def ours(wanted: Array, spent: list[float]) -> Array:
    """Velocities by :class:`Shaper`."""
    shaper, motion, made = Shaper(limits()), Motion.at_rest(np.array(HOME)), []
    for each in wanted:
        began = time.process_time()
        motion = shaper.towards(motion, each)
        spent.append(time.process_time() - began)
        made.append(motion.velocity)
    return np.array(made)


def theirs(wanted: Array, spent: list[float]) -> Array:
    """Velocities by ruckig's velocity interface, joints synchronised in phase."""
    import ruckig

    generator = ruckig.Ruckig(7, PERIOD)
    given, output = ruckig.InputParameter(7), ruckig.OutputParameter(7)
    given.control_interface = ruckig.ControlInterface.Velocity
    given.synchronization = ruckig.Synchronization.Phase
    given.current_position = list(HOME)
    given.max_velocity = list(limits().joints.speed)
    given.max_acceleration = [limits().acceleration] * 7
    given.max_jerk = [limits().jerk] * 7
    made = []
    for each in wanted:
        given.target_velocity = list(each)
        began = time.process_time()
        generator.update(given, output)
        spent.append(time.process_time() - began)
        made.append(list(output.new_velocity))
        output.pass_to_input(given)
    return np.array(made)


def limits() -> MotionLimits:
    """Those of the default settings."""
    return MotionLimits.of(PERIOD, safety_settings().stop_seconds)


def stream(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """What the parts of a period cost, with arms that move about at home."""
    arms, actions = IdealArms(period=PERIOD), ActionStream()
    layer = SafetyLayer(safety_settings(), PERIOD)
    layer.reset(arms.readings())
    spent: dict[str, list[float]] = {"what is wanted": [], "what may be sent": []}
    for number in range(20):
        if number % 8 == 0:
            chunk = torch.from_numpy(rng.uniform(-0.2, 0.2, (1, 8, 7)))
            actions.follow((chunk, chunk), arms.time + 0.05, arms.time)
        for _ in range(round(0.1 / PERIOD)):
            readings = arms.readings()
            began = time.process_time()
            wanted = actions.wanted(arms.time, readings)
            between = time.process_time()
            verdict = layer.admit(wanted, readings)
            spent["what is wanted"].append(1e3 * (between - began))
            spent["what may be sent"].append(1e3 * (time.process_time() - between))
            arms.send(verdict.velocities)
    return {name: spread(values) for name, values in spent.items()}


if __name__ == "__main__":
    sys.exit(main())
