"""How careful the safety layer is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from codi_core.errors import UsageError
from codi_franka.hardware.motion.limits import PUBLISHED, Margins

Vector = tuple[float, float, float]


def _positive(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not value > 0.0:
        raise UsageError(f"the safety setting {attribute.name} must be above 0, not {value:g}")


def _number(default: float) -> Any:
    return attrs.field(default=default, validator=_positive)


@attrs.frozen
class SafetySettings:
    """Limits of what may be sent. Positions of hands are in their arm's base frame.

    Raises:
        UsageError: a value is impossible, or contradicts another.
    """

    stop_seconds: float = _number(0.2)
    """[s] Within which arms come to rest from any motion; their speed is limited accordingly."""
    speed: float = _number(1.0)
    """The share of all speeds that is used."""
    hand_speed: float = _number(0.55)
    """[m/s] Of the tool centre point; the shared controller commands up to 0.5."""
    margins: Margins = attrs.field(factory=Margins)
    """To the published limits of the joints."""

    box_lowest: Vector = (-0.25, -0.62, -0.1)
    """[m] Where tool centre points may be."""
    box_highest: Vector = (0.86, 0.62, 0.80)
    """[m]"""
    base_distance: float = _number(0.14)
    """[m] Of the tool centre point from its own base's axis."""
    hand_height: float = _number(0.013)
    """[m] Of the tool centre point above the table, which fingertips touch at 0.012."""
    link_clearance: float = _number(0.02)
    """[m] Between the table and the capsules of forearm and wrist."""
    arm_distance: float = _number(0.04)
    """[m] Between the two arms' capsules, as the separation guard of the simulation keeps it."""
    self_distance: float = _number(0.04)
    """[m] Between the capsules of one arm's parts that can meet. Where they are 3.3 cm apart the
    convex hulls of the real parts may touch."""
    approach_gain: float = _number(10.0)
    """[1/s] How fast the way to table and box may be used up, per metre left."""
    separation_gain: float = _number(4.0)
    """[1/s] Likewise between the arms, as the guard of the simulation has it."""
    buffer: float = _number(0.002)
    """[m] How much earlier than at the hard limit nothing may come nearer any more."""

    contact_force: float = _number(20.0)
    """[N] From here on an arm moves slowly."""
    contact_over: float = _number(12.0)
    """[N] Down to here it goes on moving slowly."""
    contact_speed: float = _number(0.25)
    """The share of the speed that is left then."""
    stop_force: float = _number(40.0)
    """[N] Both arms stop."""
    stop_torques: tuple[float, ...] = (30.0, 30.0, 30.0, 30.0, 10.0, 10.0, 10.0)
    """[N m] Likewise, of the joints' external torques."""
    push_seconds: float = _number(0.02)
    """[s] For which a force or torque must last to stop arms: estimates have spikes."""
    reflex_force: float = _number(60.0)
    """[N] For the arm's own reflex, which is abrupt: it must come after the stop above."""
    reflex_torque: float = _number(40.0)
    """[N m] Likewise, for all joints."""

    stale_seconds: float = _number(0.1)
    """[s] How long an arm may report nothing new."""
    following: float = _number(0.3)
    """[rad] How far a joint may be from where its arm's control wants it."""
    sending: float = _number(0.1)
    """[rad] How far that may be from where we sent it."""

    def __attrs_post_init__(self) -> None:
        ordered = (self.contact_over, self.contact_force, self.stop_force, self.reflex_force)
        if sorted(set(ordered)) != list(ordered):
            raise UsageError(
                "the safety settings contact_over, contact_force, stop_force and reflex_force must "
                f"rise in this order, but they are {ordered}"
            )
        if len(self.stop_torques) != len(PUBLISHED.torque) or not all(
            0.0 < torque < self.reflex_torque for torque in self.stop_torques
        ):
            raise UsageError(
                "the safety setting stop_torques needs seven values between 0 and reflex_torque, "
                f"{self.reflex_torque:g} N m"
            )
        if self.speed > 1.0 or self.contact_speed > 1.0:
            raise UsageError("the safety settings speed and contact_speed are shares up to 1")
        if any(low >= high for low, high in zip(self.box_lowest, self.box_highest, strict=True)):
            raise UsageError("the safety setting box_lowest must be below box_highest")


PRESETS: dict[str, Callable[[], SafetySettings]] = {
    "first-run": lambda: SafetySettings(speed=0.1),
    "normal": SafetySettings,
    "full": lambda: SafetySettings(stop_seconds=0.3),
}
"""By name: a tenth of the speed; the default; as fast as arms can still stop within 0.3 s."""


def safety_settings(name: str = "normal", **changes: Any) -> SafetySettings:
    """Settings by name, with some values changed.

    Raises:
        UsageError: there is no such name or setting, or a value is impossible.
    """
    if name not in PRESETS:
        raise UsageError(f"there are no safety settings {name!r}; choose from {', '.join(PRESETS)}")
    unknown = sorted(set(changes) - {field.name for field in attrs.fields(SafetySettings)})
    if unknown:
        names = ", ".join(field.name for field in attrs.fields(SafetySettings))
        raise UsageError(f"unknown safety settings {', '.join(unknown)}; there are {names}")
    return attrs.evolve(PRESETS[name](), **changes)
