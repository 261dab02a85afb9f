"""Commands as no planner should make them, through the safety layer, to ideal arms.

Nothing here is sent to an arm: it is how the layer itself is put to the test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import PRESETS, SafetySettings
from codi_franka.hardware.trials import judge
from codi_franka.hardware.trials.ideal_arms import IdealArms
from codi_franka.robot.cell import ARMS
from codi_franka.robot.clearance import arm_clearance
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import joint_origins
from codi_franka.robot.parameters import POSITION_LOWER, POSITION_UPPER, VELOCITY_LIMIT

Array = NDArray[np.float64]
Commands = Iterator[object]

_SHAPE = (len(ARMS), 7)
_SPEEDS = np.array(VELOCITY_LIMIT)
PERIODS = (0.002, 0.005, 0.01)
"""[s] Between commands."""
_ROUNDING = 1e-9
_ACTION = 0.1
"""[s] One action's time."""


class Commanded(Protocol):
    """What hostile commands see of the arms, and do to them.

    Attributes:
        period: between commands [s].
        positions: (2, 7) where the arms are [rad].
        silent: whether they report nothing new.
    """

    period: float
    silent: bool

    @property
    def positions(self) -> Array:
        """See above."""
        ...


def _jumps(rng: np.random.Generator, arms: Commanded) -> Commands:
    """Another velocity with each action."""
    while True:
        wanted = rng.uniform(-1.5, 1.5, _SHAPE) * _SPEEDS
        yield from [wanted] * round(_ACTION / arms.period)


def _flips(rng: np.random.Generator, arms: Commanded) -> Commands:
    """The sign changes every few periods."""
    wanted = rng.uniform(0.2, 1.0, _SHAPE) * _SPEEDS
    while True:
        yield from [wanted] * int(rng.integers(1, 8))
        wanted = -wanted


def _ends(rng: np.random.Generator, arms: Commanded) -> Commands:
    """As fast as joints go, towards their limits, to the end."""
    wanted = rng.choice((-1.0, 1.0), _SHAPE) * _SPEEDS
    while True:
        yield wanted


def _bursts(rng: np.random.Generator, arms: Commanded) -> Commands:
    """Rest, then noise."""
    while True:
        yield from [np.zeros(_SHAPE)] * int(rng.integers(1, 30))
        for _ in range(int(rng.integers(1, 20))):
            yield rng.normal(0.0, 10.0, _SHAPE)


def _huge(rng: np.random.Generator, arms: Commanded) -> Commands:
    """Numbers of any size."""
    while True:
        yield rng.choice((-1.0, 1.0), _SHAPE) * 10.0 ** rng.uniform(-300, 300, _SHAPE)


def _not_finite(rng: np.random.Generator, arms: Commanded) -> Commands:
    """NaN and infinities now and then, on one joint or on all."""
    for wanted in _jumps(rng, arms):
        broken = np.array(wanted)
        if rng.random() < 0.05:
            broken[rng.random(_SHAPE) < rng.random()] = rng.choice((np.nan, np.inf, -np.inf))
        yield broken


def _silence(rng: np.random.Generator, arms: Commanded) -> Commands:
    """Arms that stop reporting, and planners that say nothing."""
    for wanted in _jumps(rng, arms):
        arms.silent = rng.random() < 0.95 if arms.silent else rng.random() < 0.05
        yield None if rng.random() < 0.01 else wanted


def _hands(rng: np.random.Generator, arms: Commanded) -> Commands:
    """Hands at the ends of an action's range, by the shared controller."""
    controller = EndEffectorController()
    while True:
        twist = torch.from_numpy(rng.choice((-1.0, 0.0, 1.0), (len(ARMS), 6)))
        for _ in range(round(_ACTION * int(rng.integers(1, 6)) / arms.period)):
            yield controller.joint_velocity(torch.from_numpy(arms.positions), twist).numpy()


def _together(rng: np.random.Generator, arms: Commanded) -> Commands:
    """Both hands into the same place, which may be in the table, or the other arm."""
    controller, bases = EndEffectorController(), BaseFrames.of(ARMS, dtype=torch.float64)
    meeting = torch.from_numpy(rng.uniform((-0.3, -0.4, -0.2), (0.3, 0.4, 0.5)))
    while True:
        joints = torch.from_numpy(arms.positions)
        towards = bases.points_to_base(meeting.expand(len(ARMS), 3)) - joint_origins(joints)[:, 7]
        twist = torch.cat((5.0 * towards, torch.zeros(len(ARMS), 3).double()), -1)
        yield controller.joint_velocity(joints, twist).numpy()


KINDS: dict[str, Callable[[np.random.Generator, Commanded], Commands]] = {
    "jumps": _jumps,
    "flips": _flips,
    "ends": _ends,
    "bursts": _bursts,
    "huge": _huge,
    "not-finite": _not_finite,
    "silence": _silence,
    "hands": _hands,
    "together": _together,
}
"""The kinds of commands; the numbers of a trial's sequences go through them in turn."""


@attrs.define
class Findings:
    """What came of hostile sequences.

    Attributes:
        sequences: how many there were.
        periods: how many commands in all.
        violations: by how much the published limits were broken, at worst.
        longest_stop: how long arms took to come to rest when asked, of what they may take.
        clearance: what was left of the distance between the arms beyond the least allowed [m].
        height: likewise of the height of a tool centre point above the table [m].
        stops: why the layer stopped by itself, counted.
        rejections: reasons, counted by periods.
    """

    sequences: int = 0
    periods: int = 0
    violations: dict[str, float] = attrs.field(factory=lambda: dict(judge.NONE))
    longest_stop: float = 0.0
    clearance: float = float("inf")
    height: float = float("inf")
    stops: Counter[str] = attrs.field(factory=Counter)
    rejections: Counter[str] = attrs.field(factory=Counter)

    @property
    def harmless(self) -> bool:
        """Whether all limits and distances were kept, and all stops were in time."""
        kept = self.violations == judge.NONE and min(self.clearance, self.height) > 0.0
        return kept and self.longest_stop <= 1.0 + _ROUNDING

    @property
    def summary(self) -> str:
        """In a few words."""
        broken = [f"{name} by {value:.3g}" for name, value in self.violations.items() if value]
        kept = "broken: " + ", ".join(broken) if broken else "kept"
        return (
            f"published limits {kept}, longest stop {100 * self.longest_stop:.0f} % of what it may "
            f"take, {1e3 * self.clearance:.1f} mm more than needed between the arms and "
            f"{1e3 * self.height:.1f} mm above the table"
        )

    def join(self, other: Findings) -> None:
        """Add those of other sequences."""
        self.sequences += other.sequences
        self.periods += other.periods
        for name, value in other.violations.items():
            self.violations[name] = max(self.violations[name], value)
        self.longest_stop = max(self.longest_stop, other.longest_stop)
        self.clearance = min(self.clearance, other.clearance)
        self.height = min(self.height, other.height)
        self.stops += other.stops
        self.rejections += other.rejections


def hostile_trial(
    sequences: int,
    seed: int = 0,
    seconds: float = 0.4,
    periods: Sequence[float] = PERIODS,
    kinds: Sequence[str] = tuple(KINDS),
    findings: Findings | None = None,
    tell: Callable[[int, Findings], None] = lambda number, findings: None,
) -> Findings:
    """Run hostile sequences through fresh safety layers.

    Args:
        sequences: how many.
        seed: of the sequences; sequence i is the same in any trial of that seed.
        seconds: how long each is; then both arms are stopped.
        periods: between commands [s]; one of them for each sequence.
        kinds: of :data:`KINDS`, in turn.
        findings: those of the first sequences, which are not run again; the others' are added.
        tell: called with the number of each and the findings so far.
    """
    findings = Findings() if findings is None else findings
    for number in range(findings.sequences, sequences):
        rng = np.random.default_rng((seed, number))
        findings.join(_sequence(kinds[number % len(kinds)], rng, seconds, periods))
        tell(number, findings)
    return findings


def _sequence(
    kind: str, rng: np.random.Generator, seconds: float, periods: Sequence[float]
) -> Findings:
    period = float(rng.choice(periods))
    settings = PRESETS[rng.choice(list(PRESETS))]()
    layer = SafetyLayer(settings, period)
    arms = IdealArms(_start(rng, layer), period, delay=int(rng.integers(0, 3)))
    layer.reset(arms.readings())
    findings = Findings(sequences=1)
    commands = KINDS[kind](rng, arms)
    for _ in range(round(seconds / period)):
        _send(layer, arms, next(commands), findings)
    if layer.stop_reason is not None:
        findings.stops[kind] += 1
    arms.silent = False
    findings.longest_stop = _stop(layer, arms, findings) / settings.stop_seconds
    findings.periods = len(arms.sent)
    findings.violations = arms.violations()
    findings.clearance, findings.height = _closest(np.array(arms.path), settings)
    return findings


def _send(layer: SafetyLayer, arms: IdealArms, wanted: object, findings: Findings) -> None:
    verdict = layer.admit(wanted, arms.readings())  # type: ignore[arg-type]  # that is the point
    findings.rejections.update({rejection.reason.value for rejection in verdict.rejections})
    arms.send(verdict.velocities)


def _stop(layer: SafetyLayer, arms: IdealArms, findings: Findings) -> float:
    """How long it takes to come to rest [s]."""
    layer.stop("the sequence is over")
    began = arms.time
    while not layer.at_rest and arms.time < began + 1.0:
        _send(layer, arms, np.ones(_SHAPE), findings)
    return arms.time - began


def _start(rng: np.random.Generator, layer: SafetyLayer) -> Array:
    """Where arms stand apart and inside of all bounds, (2, 7) [rad]."""
    lowest, highest = np.array(POSITION_LOWER) + 0.02, np.array(POSITION_UPPER) - 0.02
    while True:
        spread = rng.uniform(0.0, 1.0)
        start = np.clip(HOME + rng.normal(0.0, spread, _SHAPE), lowest, highest)
        if layer.geometry.distances(start[None]).min() > 0.0:
            return start


def _closest(path: Array, settings: SafetySettings) -> tuple[float, float]:
    """By how much a path (T, 2, 7) keeps arms apart, and tool centre points above the table.

    Returns:
        The least that is left of both beyond what the settings want [m].
    """
    bases = BaseFrames.of(ARMS, dtype=torch.float64)
    origins = joint_origins(torch.from_numpy(path))
    tool, wrist, elbow = bases.arms_to_world((origins[:, :, 7], origins[:, :, 4], origins[:, :, 3]))
    clearance = arm_clearance((tool, wrist, elbow)).min() - settings.arm_distance
    return float(clearance), float(tool[..., 2].min() - settings.hand_height)
