"""What the worker asks of Isaac Gym: calls that exist, by its rules, and the scene it gets."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import attrs
import mujoco
import numpy as np
import pytest
import torch

from codi_core.testing import Drive, check_simulator
from codi_franka.physics.isaac import scene, simulator, wire
from codi_franka.physics.isaac.simulator import STIFFNESS_SCALE, WorkerSimulator
from codi_franka.physics.model import build_model
from codi_franka.physics.simulator import CubeProperties
from codi_franka.robot.cell import ARMS
from codi_franka.state import FrankaState
from franka.isaac_double import Gym, RuleError, modules
from franka.scenes import OPEN, random_states

FOLDER = Path(simulator.__file__).parent
OLD = ("wire.py", "worker.py", "isaac_backend.py", "isaac_scene.py")
"""What runs in the other interpreter."""
PUBLISHED = json.loads((Path(__file__).parent / "isaacgym_methods.json").read_text())


# -- the published list -------------------------------------------------------------------------


def tree(name: str) -> ast.Module:
    return ast.parse((FOLDER / name).read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("name", OLD)
def test_the_other_interpreter_understands_it(name: str) -> None:
    """Syntax of Python 3.6, and imports that are there."""
    allowed = {
        *sys.stdlib_module_names,
        "numpy",
        "torch",
        "isaacgym",
        "wire",
        "isaac_backend",
        "isaac_scene",
    }
    for node in ast.walk(tree(name)):
        assert not isinstance(node, ast.NamedExpr | ast.Match)
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom):
            assert node.module != "__future__"
            assert node.module.split(".")[0] in allowed


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_every_call_exists_with_that_many_arguments() -> None:
    methods, seen = PUBLISHED["methods"], set()
    assert len(methods) == 312
    for node in ast.walk(tree("isaac_scene.py")):
        if not isinstance(node, ast.Call):
            continue
        owner, _, name = dotted(node.func).rpartition(".")
        if owner not in {"self.gym", "gym"}:
            continue
        assert name in methods, name
        seen.add(name)
        if methods[name] is None:
            continue
        required, names = methods[name]
        if any(isinstance(each, ast.Starred) for each in node.args):
            assert {each.arg for each in node.keywords} <= set(names)
            continue
        given = len(node.args) + len(node.keywords)
        assert required <= given <= len(names), name
        assert {each.arg for each in node.keywords} <= set(names)
    assert {"simulate", "set_dof_state_tensor_indexed", "prepare_sim", "destroy_sim"} <= seen
    assert len(seen) > 25


def test_every_name_and_parameter_exists() -> None:
    classes = {"params": "SimParams", "params.physx": "PhysXParams", "options": "AssetOptions",
               "fixed": "AssetOptions", "pose": "Transform", "plane": "PlaneParams",
               "shape": "RigidShapeProperties"}  # fmt: skip
    named, assigned = set(), 0
    for node in ast.walk(tree("isaac_scene.py")):
        text = dotted(node) if isinstance(node, ast.Attribute) else ""
        if text.startswith("gymapi.") and text.count(".") == 1:
            named.add(text.removeprefix("gymapi."))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            owner, _, attribute = dotted(node.targets[0]).rpartition(".")
            if owner in classes:
                assert attribute in PUBLISHED["classes"][classes[owner]], (owner, attribute)
                assigned += 1
    known = {*PUBLISHED["constants"], *PUBLISHED["classes"]}
    assert named <= known
    assert assigned > 20


# -- the scene ----------------------------------------------------------------------------------


def test_the_urdf_is_the_models_arm() -> None:
    """Compiled by MuJoCo: the same joints, limits, masses and inertias, hands in one place."""
    robot = ET.fromstring(scene.urdf())
    option = ET.SubElement(ET.SubElement(robot, "mujoco"), "compiler")
    option.attrib.update(fusestatic="false", balanceinertia="false", discardvisual="false")
    theirs = mujoco.MjModel.from_xml_string(ET.tostring(robot, encoding="unicode"))
    ours = build_model(("left",), cube=False)
    generator = np.random.default_rng(0)
    there, here = mujoco.MjData(theirs), mujoco.MjData(ours)
    for joint in range(1, 8):
        name = f"joint{joint}"
        np.testing.assert_allclose(
            theirs.joint(name).range, ours.joint(f"left/{name}").range, atol=1e-6
        )
        value = generator.uniform(*theirs.joint(name).range)
        there.joint(name).qpos[:] = value
        here.joint(f"left/{name}").qpos[:] = value
    for finger in (1, 2):
        there.joint(f"finger_joint{finger}").qpos[:] = 0.03
        here.joint(f"left/finger_joint{finger}").qpos[:] = 0.03
    for model, data in ((theirs, there), (ours, here)):
        mujoco.mj_fwdPosition(model, data)
    base = here.body("left/link0").xpos
    for body in ("link4", "link7", "hand", "left_finger", "right_finger"):
        mine, other = here.body(f"left/{body}"), there.body(body)
        np.testing.assert_allclose(other.xpos, mine.xpos - base, atol=1e-6)
        np.testing.assert_allclose(other.xmat, mine.xmat, atol=1e-6)
        assert theirs.body(body).mass == pytest.approx(ours.body(f"left/{body}").mass)
        np.testing.assert_allclose(
            np.sort(theirs.body(body).inertia), np.sort(ours.body(f"left/{body}").inertia),
            rtol=1e-4, atol=1e-9,
        )  # fmt: skip
    pad = np.flatnonzero(theirs.geom_bodyid == theirs.body("left_finger").id)
    np.testing.assert_allclose(
        there.geom_xpos[pad[0]], here.geom("left/left_finger/pad").xpos - base, atol=1e-6
    )


# -- by the rules -------------------------------------------------------------------------------


class InThisProcess:
    """A worker without a process."""

    def __init__(self, backend: Any, copies: int) -> None:
        self.backend = backend
        fields = wire.layout(copies, len(ARMS))
        self.shared = {name: np.zeros(shape, kind) for name, kind, shape in fields}
        self.ready = {"measures": list(backend.measures)}

    def call(self, name: str, **arguments: Any) -> None:
        rows = np.flatnonzero(self.shared["rows"])
        if name == "set_state":
            state = {each: self.shared[f"set.{each}"][rows] for each, _ in wire.STATE}
            cubes = {each: self.shared[f"set.{each}"][rows] for each in ("mass", "friction")}
            self.backend.set_state(state, rows, cubes if arguments["cubes"] else None)
            return
        seen = self.backend.step(self.shared["targets"][rows], arguments["count"], rows)
        for each, value in seen.items():
            self.shared[f"now.{each}"][rows] = value


@pytest.fixture
def backend_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The backend, with doubles of what it imports."""
    package = modules(Gym)
    for name, module in package.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "isaac_scene", raising=False)
    spec = importlib.util.spec_from_file_location("isaac_backend", FOLDER / "isaac_backend.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.folder = tmp_path
    return module


def make(module: ModuleType, copies: int) -> WorkerSimulator:
    described = scene.description(ARMS, copies, 0.01, STIFFNESS_SCALE)
    opening = {**described, "device": "cpu", "folder": str(module.folder)}
    worker: Any = InThisProcess(module.make(opening), copies)
    return WorkerSimulator(ARMS, copies, worker, 10)


def gym_of(simulated: WorkerSimulator) -> Gym:
    """The double that was made when a state was first set."""
    inner: Any = simulated.worker
    gym: Gym = inner.backend._scene.gym
    return gym


def start() -> FrankaState:
    """Three copies, within what the double's physics keeps."""
    state = attrs.evolve(random_states(3), goal=None)
    state.cube_position[:, 2] = torch.tensor([0.025, 0.2, 0.4])
    state.cube_velocity[:, 2] = 0.0
    turned = state.cube_quaternion / state.cube_quaternion.norm(dim=-1, keepdim=True)
    return attrs.evolve(state, cube_quaternion=turned)


def test_the_contract_is_kept_by_the_rules(backend_module: ModuleType) -> None:
    """States come back, rows are rows, failures stay alone; no setter is called twice a step."""
    state = start()
    generator = torch.Generator().manual_seed(0)
    targets = 0.4 * torch.randn(4, 3, 16, generator=generator)
    targets[..., [7, 15]] = 0.05
    one = state.of_worlds(torch.tensor([1]))
    broken = attrs.evolve(one, joint_velocity=torch.full_like(one.joint_velocity, 1e9))
    check_simulator(
        lambda copies: make(backend_module, copies),
        Drive(state, targets, 3),
        broken=broken,
        repeats_within=1e-6,
    )


def test_commands_move_set_points_within_limits(backend_module: ModuleType) -> None:
    """By 0.01 s of each joint's speed, at most its own; the double is there at once."""
    simulated = make(backend_module, 2)
    state = attrs.evolve(start().of_worlds(torch.tensor([0, 1])))
    state = attrs.evolve(state, joint_velocity=torch.zeros_like(state.joint_velocity))
    simulated.set_state(state)
    gym = gym_of(simulated)
    targets = torch.zeros(2, 2, 8)
    targets[0, 0, 0], targets[1, 1, 6] = 0.5, 100.0
    targets[..., 7] = torch.tensor([OPEN, 0.03])
    seen = simulated.step(targets.flatten(1), 4).state
    moved = seen.joint_position - state.joint_position
    assert moved[0, 0, 0] == pytest.approx(0.02, abs=1e-6)
    assert moved[1, 1, 6] == pytest.approx(4 * 0.01 * 5.26, abs=1e-5)
    assert moved.abs().sum() == pytest.approx(0.02 + 4 * 0.0526, abs=1e-4)
    torch.testing.assert_close(seen.gripper_width, torch.tensor([[OPEN, 0.03]] * 2))
    assert gym.calls.count("targets") == 4
    assert gym.calls.count("dof states") == gym.calls.count("root states") == 1


def test_the_scene_is_made_by_the_numbers(backend_module: ModuleType) -> None:
    simulated = make(backend_module, 2)
    values = ([0.2, 0.1], [0.8, 1.1])
    cubes = CubeProperties(*(torch.tensor(each, dtype=torch.float64) for each in values))
    state = start().of_worlds(torch.tensor([0, 1]))
    simulated.set_state(state, cube=cubes)
    gym = gym_of(simulated)
    blocks = [actor for actor in gym.actors if actor.name == "cube"]
    assert [round(block.mass, 6) for block in blocks] == [0.2, 0.1]
    assert {round(actor.friction, 6) for actor in gym.actors if actor.env == 0} == {0.8}
    left = gym.actors[0]
    assert left.state[:7].tolist() == pytest.approx([-0.65, 0, 0, 0, 0, 0, 1])
    assert gym.actors[1].state[3:7].tolist() == pytest.approx([0, 0, 1, 0])
    assert (left.mask, gym.actors[1].mask, blocks[0].mask) == (1, 2, 0)
    order = list(left.asset.dofs)
    assert left.props["stiffness"][order.index("joint1")] == 0.25 * 4500.0
    assert left.props["effort"][order.index("finger_joint1")] == 30.0
    assert gym.plane.distance == 0.7
    later = CubeProperties(cubes.mass[:1], cubes.friction[1:])
    simulated.set_state(state.of_worlds(torch.tensor([1])), torch.tensor([1]), later)
    assert round(blocks[1].friction, 6) == 1.1


def test_a_push_on_finger_and_cube_is_a_touch(backend_module: ModuleType) -> None:
    simulated = make(backend_module, 2)
    simulated.set_state(start().of_worlds(torch.tensor([0, 1])))
    each = 2 * 11 + 2
    gym_of(simulated).force = {each + 9: 1.0, each + 2 * 11: -1.0}
    seen = simulated.step(torch.zeros(2, 16), 1)
    assert seen.cube_contact.tolist() == [False, True]


def test_the_double_has_teeth() -> None:
    gym = Gym()
    api = modules(lambda: gym)["isaacgym.gymapi"]
    pose = api.Transform()
    pose.p, pose.r = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
    options = api.AssetOptions()
    env = gym.create_env(gym, (0.0,) * 3, (0.0,) * 3, 1)
    gym.create_actor(env, gym.create_box(gym, 1, 1, 1, options), pose, "cube", 0, 0)
    with pytest.raises(RuleError, match="after prepare_sim"):
        gym.set_dof_position_target_tensor(gym, torch.zeros(0))
    gym.prepare_sim(gym)
    gym.refresh_actor_root_state_tensor(gym)
    states = gym.acquire_actor_root_state_tensor(gym)
    for indices, message in (
        (torch.tensor([0]), "indices are torch.int64"),
        (torch.tensor([0], dtype=torch.int32), ""),
        (torch.tensor([0], dtype=torch.int32), "set twice in one step"),
    ):
        if message:
            with pytest.raises(RuleError, match=message):
                gym.set_actor_root_state_tensor_indexed(gym, states, indices, 1)
            if "int64" in message:
                gym._set.clear()
        else:
            gym.set_actor_root_state_tensor_indexed(gym, states, indices, 1)
