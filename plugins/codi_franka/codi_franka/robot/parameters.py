"""The published numbers of the Franka Research 3 (FR3) and of the Franka Hand.

Kinematics, inertias, limits and gains come from ``fr3.xml`` and ``fr3.urdf`` of the Python package
``franky-sim`` 1.0.4, which took them from ``mujoco_menagerie`` (Copyright 2026 Google DeepMind) and
``franka_description`` (Copyright 2023 Franka Robotics GmbH), all under the Apache License 2.0: see
``NOTICE`` beside this package. The collision shapes were fitted here to those files' link meshes.

Everything is in SI units (m, kg, s, rad, N, N m); quaternions are wxyz.
"""

import math

import attrs

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


@attrs.frozen
class Inertia:
    """A body's mass distribution: ``diagonal`` holds about axes turned by ``quaternion``."""

    mass: float
    center: Vector
    diagonal: Vector
    quaternion: Quaternion = (1.0, 0.0, 0.0, 0.0)


@attrs.frozen
class Link:
    """One moving link and the joint that carries it.

    ``a``, ``d``, ``alpha`` are the modified (Craig) Denavit-Hartenberg parameters: the joint's
    frame is ``Rx(alpha) Tx(a) Rz(angle) Tz(d)`` in its parent's frame.
    """

    a: float
    d: float
    alpha: float
    position_range: tuple[float, float]
    velocity_limit: float
    torque_limit: float
    stiffness: float
    damping: float
    armature: float
    friction_loss: float
    inertia: Inertia


@attrs.frozen
class Capsule:
    """A collision capsule in its body's frame, from one end of its axis to the other."""

    start: Vector
    end: Vector
    radius: float


@attrs.frozen
class Box:
    """A collision box in its body's frame, ``half_size`` along the frame's axes."""

    center: Vector
    half_size: Vector


Shape = Capsule | Box

_QUARTER = math.pi / 2

LINKS: tuple[Link, ...] = (
    Link(
        a=0.0, d=0.333, alpha=0.0,
        position_range=(-2.7437, 2.7437), velocity_limit=2.62, torque_limit=87.0,
        stiffness=4500.0, damping=450.0, armature=0.195, friction_loss=1.137,
        inertia=Inertia(
            2.92747, (4.128e-07, -0.0181251, -0.0386036), (0.0239286, 0.0227246, 0.00610634),
            (0.998098, -0.0605364, 0.00380499, 0.0110109),
        ),
    ),
    Link(
        a=0.0, d=0.0, alpha=-_QUARTER,
        position_range=(-1.7837, 1.7837), velocity_limit=2.62, torque_limit=87.0,
        stiffness=4500.0, damping=450.0, armature=0.195, friction_loss=1.137,
        inertia=Inertia(
            2.93554, (0.00318289, -0.0743222, 0.00881461), (0.0629567, 0.0411924, 0.0246371),
            (0.502599, 0.584437, -0.465998, 0.434366),
        ),
    ),
    Link(
        a=0.0, d=0.316, alpha=_QUARTER,
        position_range=(-2.9007, 2.9007), velocity_limit=2.62, torque_limit=87.0,
        stiffness=3500.0, damping=350.0, armature=0.195, friction_loss=1.137,
        inertia=Inertia(
            2.2449, (0.0407016, -0.00482006, -0.0289731), (0.0267409, 0.0189869, 0.0171587),
            (0.921025, -0.244161, 0.155272, 0.260745),
        ),
    ),
    Link(
        a=0.0825, d=0.0, alpha=_QUARTER,
        position_range=(-3.0421, -0.1518), velocity_limit=2.62, torque_limit=87.0,
        stiffness=3500.0, damping=350.0, armature=0.195, friction_loss=1.137,
        inertia=Inertia(
            2.6156, (-0.0459101, 0.0630493, -0.00851879), (0.05139, 0.0372717, 0.0160047),
            (0.438018, 0.803311, 0.00937812, 0.403414),
        ),
    ),
    Link(
        a=-0.0825, d=0.384, alpha=-_QUARTER,
        position_range=(-2.8065, 2.8065), velocity_limit=5.26, torque_limit=12.0,
        stiffness=2000.0, damping=200.0, armature=0.074, friction_loss=0.763,
        inertia=Inertia(
            2.32712, (-0.00160396, 0.0292536, -0.0972966), (0.0579335, 0.0449144, 0.0130634),
            (0.919031, 0.125604, 0.0751531, -0.366003),
        ),
    ),
    Link(
        a=0.0, d=0.0, alpha=_QUARTER,
        position_range=(0.5445, 4.5169), velocity_limit=4.18, torque_limit=12.0,
        stiffness=2000.0, damping=200.0, armature=0.074, friction_loss=0.44,
        inertia=Inertia(
            1.81704, (0.0597131, -0.0410295, -0.0101693), (0.0175039, 0.0161123, 0.00193529),
            (0.621301, 0.552665, 0.510011, 0.220081),
        ),
    ),
    Link(
        a=0.088, d=0.0, alpha=_QUARTER,
        position_range=(-3.0159, 3.0159), velocity_limit=5.26, torque_limit=12.0,
        stiffness=2000.0, damping=200.0, armature=0.074, friction_loss=0.248,
        inertia=Inertia(
            0.627143, (0.00452258, 0.00862619, -0.0161633),
            (0.000223836, 0.000223642, 5.64132e-07),
            (0.727579, 0.0978688, -0.24906, 0.63168),
        ),
    ),
)  # fmt: skip
"""The seven links, from the base to the flange."""

FLANGE_OFFSET = 0.107
"""[m] From the last joint's frame to the flange, along its z axis."""

TOOL_OFFSET = 0.1034
"""[m] From the flange to the tool centre point (TCP) between the finger pads."""

TOOL_ANGLE = -math.pi / 4
"""[rad] The hand is mounted turned about the flange's z axis."""

HAND_INERTIA = Inertia(0.73, (-0.01, 0.0, 0.03), (0.001, 0.0025, 0.0017))

FINGER_INERTIA = Inertia(0.015, (0.0, 0.0, 0.0), (2.375e-6, 2.375e-6, 7.5e-7))

FINGER_OFFSET = 0.0584
"""[m] From the hand's frame to the fingers' frames, along z."""

FINGER_TRAVEL = 0.04
"""[m] Each finger slides from 0 (closed) to this."""

MAX_WIDTH = 2 * FINGER_TRAVEL
"""[m] The opening of the gripper between its pads."""

FINGER_SPEED_LIMIT = 0.2
"""[m/s] Of each finger."""

FINGER_ARMATURE = 0.195
FINGER_DAMPING = 0.21
JOINT_DAMPING = 0.21

GRIPPER_STIFFNESS = 600.0
"""[N/m] From the width's error to each finger's force. ``fr3.xml`` squeezes a 5 cm cube with 1 N
only, too little to carry 200 g; the real hand holds 70 N continuously."""

GRIPPER_DAMPING = 60.0
"""[N s/m]"""

GRIPPER_FORCE_LIMIT = 30.0
"""[N] Of each finger."""

PAD = Box(center=(0.0, 0.004, 0.0445), half_size=(0.0085, 0.004, 0.0085))
"""A finger's pad. ``fr3.xml`` has it 1.5 mm further out; here width 0 means that the pads meet."""

LINK_SHAPES: tuple[tuple[Shape, ...], ...] = (
    (Box((-0.04, 0.0, 0.07), (0.11, 0.094, 0.07)),),
    (Capsule((0.0, 0.0, -0.13), (0.0, -0.04, 0.0), 0.065),),
    (Capsule((0.0, -0.13, 0.0), (0.0, -0.02, 0.05), 0.065),),
    (Capsule((0.0, 0.0, -0.06), (0.08, 0.04, 0.0), 0.065),),
    (Capsule((0.0, 0.0, 0.04), (-0.08, 0.06, 0.0), 0.065),),
    (Capsule((0.0, 0.0, -0.2), (0.0, 0.075, 0.0), 0.06),),
    (Capsule((0.0, 0.0, 0.0), (0.08, 0.02, 0.0), 0.055),),
    (Capsule((0.0, 0.0, 0.03), (0.02, 0.02, 0.07), 0.05),),
)
"""Collision shapes of ``link0`` to ``link7``, fitted to the meshes within about 2 cm."""

HAND_SHAPES: tuple[Shape, ...] = (Capsule((0.0, -0.07, 0.032), (0.0, 0.07, 0.032), 0.034),)

POSITION_LOWER: tuple[float, ...] = tuple(link.position_range[0] for link in LINKS)
POSITION_UPPER: tuple[float, ...] = tuple(link.position_range[1] for link in LINKS)
VELOCITY_LIMIT: tuple[float, ...] = tuple(link.velocity_limit for link in LINKS)
