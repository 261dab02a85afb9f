"""Checks of arms and hands that are connected. Nothing moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from codi_franka.hardware.arms.gripper_worker import GripperWorker
from codi_franka.hardware.arms.link import ArmLink
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.commands.findings import Finding, Result
from codi_franka.hardware.homing import AT_HOME, distance
from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.robot.cell import ARMS
from codi_franka.robot.clearance import arm_clearance, arm_points
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.robot.parameters import MAX_WIDTH

APART = 0.1
"""[m] Between the arms, before a run."""
OPENS = 0.9 * MAX_WIDTH
"""[m] A hand that knows less has not been homed."""
HEARD = 0.95
"""The share of an arm's messages that must arrive."""
GAP = 0.02
"""[s] The longest silence of an arm."""


def check_network(arms: Sequence[ArmLink], clock: ArmClock, seconds: float) -> list[Finding]:
    """Listen to both arms, one after the other.

    Args:
        arms: connected.
        clock: their seconds.
        seconds: for how long [s].
    """
    findings = []
    for arm in arms:
        clock.follow(arm.told)
        began = heard = clock.seconds()
        longest, news, latest = 0.0, 0, -1.0
        while heard - began < seconds:
            reading = arm.read(heard := clock.seconds())
            if reading.time != latest:
                longest = max(longest, reading.time - latest) if news else 0.0
                latest, news = reading.time, news + 1
        clock.leave(arm.told)
        share = news / (1000 * seconds)
        findings.append(
            Finding.of(
                f"network to the {arm.name} arm",
                share >= HEARD and longest <= GAP,
                f"{100 * share:.1f} % of its messages, longest silence {1000 * longest:.0f} ms",
                "connect the arm to a network card of its own, without a switch; turn off power "
                "saving (`cpupower frequency-set -g performance`) and what else works here",
                Result.CAREFUL,
            )
        )
    return findings


def check_cell(
    arms: Sequence[ArmLink], hands: Sequence[GripperWorker], clock: ArmClock
) -> list[Finding]:
    """Check what arms and hands say of themselves."""
    readings = [arm.read(clock.seconds()) for arm in arms]
    return [
        *(_errors(arm) for arm in arms),
        *(_hand(hand, clock) for hand in hands),
        _safe(readings),
        _free(readings),
        _home(readings),
    ]


def _errors(arm: ArmLink) -> Finding:
    errors = arm.errors()
    return Finding.of(
        f"errors of the {arm.name} arm",
        not errors,
        ", ".join(errors) or "none",
        "look at the arm, then `codi franka-recover`",
    )


def _hand(hand: GripperWorker, clock: ArmClock) -> Finding:
    for _ in range(20):
        if hand.look().reading is not None:
            break
        clock.sleep(0.1)
    reading = hand.look().reading
    what = f"{hand.name} hand"
    if reading is None:
        remedy = "switch it off and on in Desk"
        return Finding(what, Result.BAD, "it does not tell its width", remedy)
    found = f"open {1000 * reading.width:.0f} mm of {1000 * reading.most:.0f} mm"
    return Finding.of(what, reading.most >= OPENS, found, "`codi franka-home --hands` homes it")


def _safe(readings: Sequence[ArmReading]) -> Finding:
    """Whether the safety layer would let the arms begin."""
    try:
        SafetyLayer(SafetySettings(), 0.01).reset(readings)
    except Exception as error:  # whatever is wrong, it is to be told here
        return Finding("safety", Result.BAD, str(error), "take away what pushes, then check again")
    pushed = max(float(np.linalg.norm(reading.force)) for reading in readings)
    return Finding.of(
        "safety",
        pushed < SafetySettings().contact_force,
        f"the arms may begin; at most {pushed:.0f} N push a hand",
        "take away what pushes; if nothing does, set the hand's mass in Desk",
    )


def _free(readings: Sequence[ArmReading]) -> Finding:
    """Whether the arms have room."""
    joints = torch.tensor(np.stack([reading.joint_positions for reading in readings]))
    bases = BaseFrames.of(ARMS, dtype=torch.float64)
    hands, _ = forward_kinematics(joints)
    apart = float(arm_clearance(bases.arms_to_world(arm_points(hands))))
    return Finding.of(
        "free workspace",
        apart >= APART,
        f"the arms are {100 * apart:.0f} cm apart",
        "move them apart by hand (guiding mode), then `codi franka-home`",
    )


def _home(readings: Sequence[ArmReading]) -> Finding:
    away = distance(readings)
    return Finding.of(
        "start",
        away <= AT_HOME,
        f"{away:.2f} rad from where episodes start",
        "`codi franka-home` brings the arms there",
    )
