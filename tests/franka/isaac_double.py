"""A double of Isaac Gym's tensor interface that enforces its rules, with the simplest of physics.

Joints are where they are sent after one step; a cube falls to the table, and turns as it does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

ARM_DOFS = (
    "finger_joint1", "finger_joint2", "joint1", "joint2", "joint3", "joint4", "joint5", "joint6",
    "joint7",
)  # fmt: skip
"""In another order than the URDF's: indices must be looked up."""
ARM_BODIES = (*(f"link{number}" for number in range(8)), "hand", "left_finger", "right_finger")

Fields = dict[str, Any]


class RuleError(AssertionError):
    """What Isaac Gym would crash on, or silently ignore."""


def require(holds: object, message: str) -> None:
    if not holds:
        raise RuleError(message)


class Gym:
    """The methods that the backend calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.actors: list[SimpleNamespace] = []
        self.envs: list[list[int]] = []
        self.prepared = self.fetched = False
        self.urdf = ""
        self.force: dict[int, float] = {}
        self._set: set[str] = set()

    # -- making -------------------------------------------------------------------------------

    def create_sim(self, compute: int, graphics: int, kind: object, params: Any) -> Gym:
        self.params = params
        return self

    def add_ground(self, sim: Gym, plane: Any) -> None:
        self.plane = plane

    def load_asset(self, sim: Gym, folder: str, name: str, options: Any) -> SimpleNamespace:
        self.urdf = Path(folder, name).read_text()
        require(options.fix_base_link, "an arm stands on the table")
        return SimpleNamespace(dofs=ARM_DOFS, bodies=ARM_BODIES, options=options, size=None)

    def create_box(
        self, sim: Gym, width: float, height: float, depth: float, options: Any
    ) -> SimpleNamespace:
        size = (width, height, depth)
        return SimpleNamespace(dofs=(), bodies=("box",), options=options, size=size)

    def get_asset_dof_names(self, asset: Any) -> list[str]:
        return list(asset.dofs)

    def create_env(self, sim: Gym, lower: Any, upper: Any, each_row: int) -> int:
        require(lower == upper == (0.0, 0.0, 0.0), "one world frame for all")
        self.envs.append([])
        return len(self.envs) - 1

    def create_actor(
        self, env: int, asset: Any, pose: Any, name: str, group: int, mask: int
    ) -> int:
        require(not self.prepared, "actors come before prepare_sim")
        require(group == env, "environments stand in one place: groups keep them apart")
        state = torch.zeros(13)
        state[:3] = torch.tensor(pose.p)
        state[3:7] = torch.tensor(pose.r)
        count = len(asset.dofs)
        dtype = [(n, "f4") for n in ("stiffness", "damping", "armature", "effort", "velocity")]
        props = np.zeros(count, dtype=[("driveMode", "i4"), *dtype])
        actor = SimpleNamespace(
            env=env, asset=asset, name=name, mask=mask, state=state, dofs=torch.zeros(count, 2),
            target=torch.zeros(count), props=props, mass=1.0, friction=1.0,
        )  # fmt: skip
        self.actors.append(actor)
        self.envs[env].append(len(self.actors) - 1)
        return len(self.envs[env]) - 1

    def get_actor_dof_properties(self, env: int, handle: int) -> Any:
        return self._actor(env, handle).props.copy()

    def set_actor_dof_properties(self, env: int, handle: int, props: Any) -> bool:
        self._actor(env, handle).props = props
        return True

    def get_actor_rigid_body_properties(self, env: int, handle: int) -> list[Any]:
        return [SimpleNamespace(mass=self._actor(env, handle).mass)]

    def set_actor_rigid_body_properties(
        self, env: int, handle: int, props: list[Any], recompute: bool
    ) -> bool:
        self._actor(env, handle).mass = props[0].mass
        return True

    def get_actor_rigid_shape_properties(self, env: int, handle: int) -> list[Any]:
        return [SimpleNamespace(friction=0.0) for _ in range(2)]

    def set_actor_rigid_shape_properties(self, env: int, handle: int, props: list[Any]) -> bool:
        self._actor(env, handle).friction = props[0].friction
        return True

    def get_actor_rigid_body_names(self, env: int, handle: int) -> list[str]:
        return list(self._actor(env, handle).asset.bodies)

    def get_actor_index(self, env: int, handle: int, domain: str) -> int:
        require(domain == "sim", "indices over the whole simulation")
        return self.envs[env][handle]

    def find_actor_rigid_body_index(self, env: int, handle: int, name: str, domain: str) -> int:
        require(domain == "sim", "indices over the whole simulation")
        before = sum(len(each.asset.bodies) for each in self.actors[: self.envs[env][handle]])
        return before + list(self._actor(env, handle).asset.bodies).index(name)

    def prepare_sim(self, sim: Gym) -> bool:
        self.prepared = True
        count = sum(len(actor.asset.dofs) for actor in self.actors)
        bodies = sum(len(actor.asset.bodies) for actor in self.actors)
        self.root, self.dof = torch.zeros(len(self.actors), 13), torch.zeros(count, 2)
        self.contact = torch.zeros(bodies, 3)
        return True

    def destroy_sim(self, sim: Gym) -> None:
        self.prepared = False

    # -- tensors ------------------------------------------------------------------------------

    def acquire_actor_root_state_tensor(self, sim: Gym) -> Tensor:
        return self._acquired(self.root)

    def acquire_dof_state_tensor(self, sim: Gym) -> Tensor:
        return self._acquired(self.dof)

    def acquire_net_contact_force_tensor(self, sim: Gym) -> Tensor:
        return self._acquired(self.contact)

    def refresh_actor_root_state_tensor(self, sim: Gym) -> bool:
        self.root[:] = torch.stack([actor.state for actor in self.actors])
        return True

    def refresh_dof_state_tensor(self, sim: Gym) -> bool:
        self.dof[:] = torch.cat([actor.dofs for actor in self.actors])
        return True

    def refresh_net_contact_force_tensor(self, sim: Gym) -> bool:
        self.contact.zero_()
        for body, force in self.force.items():
            self.contact[body, 1] = force
        return True

    def set_dof_state_tensor_indexed(
        self, sim: Gym, states: Tensor, indices: Tensor, count: int
    ) -> bool:
        self._setting("dof states", states, self.dof, indices, count)
        starts = np.cumsum([0, *(len(actor.asset.dofs) for actor in self.actors)])
        for index in indices.tolist():
            require(len(self.actors[index].asset.dofs), "an actor without degrees of freedom")
            self.actors[index].dofs = states[starts[index] : starts[index + 1]].clone()
        return True

    def set_actor_root_state_tensor_indexed(
        self, sim: Gym, states: Tensor, indices: Tensor, count: int
    ) -> bool:
        self._setting("root states", states, self.root, indices, count)
        for index in indices.tolist():
            length = float(states[index, 3:7].norm())
            require(abs(length - 1.0) < 1e-3, f"a quaternion of length {length}")
            self.actors[index].state = states[index].clone()
        return True

    def set_dof_position_target_tensor(self, sim: Gym, targets: Tensor) -> bool:
        self._setting("targets", None, None, None, 0)
        require(targets.numel() == len(self.dof), f"{targets.numel()} targets")
        require(targets.dtype == torch.float32, f"targets are {targets.dtype}")
        parts = targets.flatten().split([len(actor.asset.dofs) for actor in self.actors])
        for actor, part in zip(self.actors, parts, strict=True):
            actor.target = part.clone()
        return True

    def simulate(self, sim: Gym) -> None:
        require("targets" in self._set, "nothing was commanded in this step")
        self._set.clear()
        self.fetched = False
        dt = self.params.dt
        for actor in self.actors:
            actor.dofs = torch.stack((actor.target, (actor.target - actor.dofs[:, 0]) / dt), 1)
            if actor.name == "cube":
                velocity = actor.state[9] - 9.81 * dt
                height = actor.state[2] + dt * velocity
                resting = height < 0.025
                actor.state = actor.state.clone()
                actor.state[2] = 0.025 if resting else height
                actor.state[9] = 0.0 if resting else velocity

    def fetch_results(self, sim: Gym, wait: bool) -> None:
        self.fetched = True

    # -- rules --------------------------------------------------------------------------------

    def _actor(self, env: int, handle: int) -> SimpleNamespace:
        return self.actors[self.envs[env][handle]]

    def _acquired(self, tensor: Tensor) -> Tensor:
        require(self.prepared, "tensors are there after prepare_sim")
        return tensor

    def _setting(
        self, what: str, states: Tensor | None, own: Tensor | None, indices: Tensor | None, n: int
    ) -> None:
        require(self.prepared, "setters come after prepare_sim")
        require(what not in self._set, f"{what} are set twice in one step")
        self._set.add(what)
        self.calls.append(what)
        if states is None or own is None or indices is None:
            return
        require(states.data_ptr() == own.data_ptr(), f"{what}: not the tensor that was acquired")
        require(states.shape == own.shape, f"{what}: states of all actors, not of some")
        require(indices.dtype == torch.int32, f"{what}: indices are {indices.dtype}")
        require(len(indices) == n == len(set(indices.tolist())), f"{what}: {indices.tolist()}")


def modules(make: Callable[[], Gym]) -> dict[str, ModuleType]:
    """What ``import isaacgym`` brings."""

    def fields(**values: Any) -> Any:
        return lambda: SimpleNamespace(**values)

    def unwrapped(tensor: Tensor) -> Tensor:
        require(tensor.is_contiguous(), "unwrap_tensor takes contiguous tensors")
        return tensor

    package, gymapi = ModuleType("isaacgym"), ModuleType("isaacgym.gymapi")
    gymtorch = ModuleType("isaacgym.gymtorch")
    gymapi.__dict__.update(
        acquire_gym=make,
        SimParams=lambda: SimpleNamespace(physx=SimpleNamespace()),
        PlaneParams=fields(),
        AssetOptions=fields(fix_base_link=False),
        Transform=fields(),
        Vec3=lambda *values: values,
        Quat=lambda *values: values,
        UP_AXIS_Z="z",
        SIM_PHYSX="physx",
        DOF_MODE_POS=1,
        DOMAIN_SIM="sim",
    )
    gymtorch.__dict__.update(wrap_tensor=lambda tensor: tensor, unwrap_tensor=unwrapped)
    package.__dict__.update(gymapi=gymapi, gymtorch=gymtorch, __version__="double")
    return {"isaacgym": package, "isaacgym.gymapi": gymapi, "isaacgym.gymtorch": gymtorch}
