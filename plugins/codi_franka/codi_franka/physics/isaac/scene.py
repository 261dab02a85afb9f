"""The handover's scene for another engine: an arm as URDF, and the numbers that belong to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

import torch

from codi_franka.geometry import quaternion_to_matrix
from codi_franka.robot import cell
from codi_franka.robot import parameters as fr3

XML = ET.Element


def description(
    arms: tuple[str, ...], copies: int, timestep: float, stiffness_scale: float
) -> dict[str, Any]:
    """What a worker makes copies from, in plain values: SI units, quaternions wxyz.

    Args:
        arms: names of the arms, in the order of the state.
        copies: the number n.
        timestep: of the physics [s].
        stiffness_scale: of the joints' published stiffness and damping.
    """
    bases = [cell.ARM_BASES[arm] for arm in arms]
    return {
        "arms": list(arms),
        "copies": copies,
        "timestep": timestep,
        "bases": [[*base.position, *base.quaternion] for base in bases],
        "urdf": urdf(),
        "joints": [f"joint{number}" for number in range(1, len(fr3.LINKS) + 1)],
        "fingers": ["finger_joint1", "finger_joint2"],
        "hands": ["hand", "left_finger", "right_finger"],
        "stiffness": [stiffness_scale * link.stiffness for link in fr3.LINKS],
        "damping": [stiffness_scale * link.damping for link in fr3.LINKS],
        "armature": [link.armature for link in fr3.LINKS],
        "effort": [link.torque_limit for link in fr3.LINKS],
        "velocity": [link.velocity_limit for link in fr3.LINKS],
        "lower": list(fr3.POSITION_LOWER),
        "upper": list(fr3.POSITION_UPPER),
        # A force on the sum of two travels that are equal is one of twice the stiffness on each.
        "finger": {
            "stiffness": 2 * fr3.GRIPPER_STIFFNESS,
            "damping": 2 * fr3.GRIPPER_DAMPING,
            "armature": fr3.FINGER_ARMATURE,
            "effort": fr3.GRIPPER_FORCE_LIMIT,
            "travel": fr3.FINGER_TRAVEL,
        },
        "cube": {"size": cell.CUBE_SIZE, "mass": cell.CUBE_MASS},
        "table": [*cell.TABLE_SIZE, cell.TABLE_THICKNESS],
        "floor": cell.FLOOR_HEIGHT,
    }


def urdf() -> str:
    """An arm with its hand: the tables' kinematics, inertias and collision shapes.

    Cylinders stand for capsules of the same length and radius.
    """
    robot = XML("robot", name="fr3")
    _link(robot, "link0", None, fr3.LINK_SHAPES[0])
    for number, link in enumerate(fr3.LINKS, start=1):
        _link(robot, f"link{number}", link.inertia, fr3.LINK_SHAPES[number])
        sin, cos = math.sin(link.alpha), math.cos(link.alpha)
        joint = _joint(
            robot,
            ("revolute", f"joint{number}"),
            (f"link{number - 1}", f"link{number}"),
            ((link.a, -link.d * sin, link.d * cos), (link.alpha, 0.0, 0.0)),
        )
        ET.SubElement(joint, "axis", xyz="0 0 1")
        low, high = link.position_range
        _limit(joint, low, high, link.torque_limit, link.velocity_limit)
        ET.SubElement(joint, "dynamics", damping=f"{fr3.JOINT_DAMPING:.9g}", friction="0")
    _link(robot, "hand", fr3.HAND_INERTIA, fr3.HAND_SHAPES)
    mounted = ((0.0, 0.0, fr3.FLANGE_OFFSET), (0.0, 0.0, fr3.TOOL_ANGLE))
    _joint(robot, ("fixed", "hand_joint"), (f"link{len(fr3.LINKS)}", "hand"), mounted)
    for number, (name, turn) in enumerate((("left", 0.0), ("right", math.pi)), start=1):
        _link(robot, f"{name}_finger", fr3.FINGER_INERTIA, (fr3.PAD,))
        joint = _joint(
            robot,
            ("prismatic", f"finger_joint{number}"),
            ("hand", f"{name}_finger"),
            ((0.0, 0.0, fr3.FINGER_OFFSET), (0.0, 0.0, turn)),
        )
        ET.SubElement(joint, "axis", xyz="0 1 0")
        _limit(joint, 0.0, fr3.FINGER_TRAVEL, fr3.GRIPPER_FORCE_LIMIT, fr3.FINGER_SPEED_LIMIT)
    return ET.tostring(robot, encoding="unicode")


def _link(robot: XML, name: str, inertia: fr3.Inertia | None, shapes: Sequence[fr3.Shape]) -> None:
    link = ET.SubElement(robot, "link", name=name)
    if inertia is not None:
        _inertial(link, inertia)
    for shape in shapes:
        collision = ET.SubElement(link, "collision")
        geometry = XML("geometry")
        if isinstance(shape, fr3.Box):
            _origin(collision, shape.center, (0.0, 0.0, 0.0))
            size = _text([2 * half for half in shape.half_size])
            ET.SubElement(geometry, "box", size=size)
        else:
            middle, turn, length = _axis(shape)
            _origin(collision, middle, turn)
            sizes = {"radius": f"{shape.radius:.9g}", "length": f"{length:.9g}"}
            ET.SubElement(geometry, "cylinder", sizes)
        collision.append(geometry)


def _inertial(link: XML, inertia: fr3.Inertia) -> None:
    """The tensor about the link's own axes: R diag Rᵀ."""
    part = ET.SubElement(link, "inertial")
    _origin(part, inertia.center, (0.0, 0.0, 0.0))
    ET.SubElement(part, "mass", value=f"{inertia.mass:.9g}")
    quaternion = torch.tensor(inertia.quaternion, dtype=torch.float64)
    turn = quaternion_to_matrix(quaternion / quaternion.norm())
    tensor = (turn * torch.tensor(inertia.diagonal, dtype=torch.float64)) @ turn.T
    axes = "xyz"
    entries = {
        f"i{axes[one]}{axes[other]}": f"{float(tensor[one, other]):.9g}"
        for one in range(3)
        for other in range(one, 3)
    }
    ET.SubElement(part, "inertia", entries)


def _joint(
    robot: XML,
    kind_and_name: tuple[str, str],
    links: tuple[str, str],
    pose: tuple[fr3.Vector, fr3.Vector],
) -> XML:
    kind, name = kind_and_name
    joint = ET.SubElement(robot, "joint", name=name, type=kind)
    _origin(joint, *pose)
    ET.SubElement(joint, "parent", link=links[0])
    ET.SubElement(joint, "child", link=links[1])
    return joint


def _limit(joint: XML, lower: float, upper: float, effort: float, velocity: float) -> None:
    values = {"lower": lower, "upper": upper, "effort": effort, "velocity": velocity}
    ET.SubElement(joint, "limit", {name: f"{value:.9g}" for name, value in values.items()})


def _origin(parent: XML, position: Sequence[float], angles: Sequence[float]) -> None:
    ET.SubElement(parent, "origin", xyz=_text(position), rpy=_text(angles))


def _axis(capsule: fr3.Capsule) -> tuple[list[float], tuple[float, float, float], float]:
    """Where a capsule's middle is, how z is turned into its axis (rpy), and its length."""
    along = [end - start for start, end in zip(capsule.start, capsule.end, strict=True)]
    middle = [(end + start) / 2 for start, end in zip(capsule.start, capsule.end, strict=True)]
    length = math.hypot(*along)
    pitch = math.atan2(math.hypot(along[0], along[1]), along[2])
    return middle, (0.0, pitch, math.atan2(along[1], along[0])), length


def _text(values: Sequence[float]) -> str:
    return " ".join(f"{value:.9g}" for value in values)
