"""The handover's scene in Isaac Gym Preview 4, and its tensors.

Isaac Gym's rules for its tensors: each setter is called at most once between two calls of
``simulate``; indexed setters take int32 indices of actors, counted over the whole simulation; the
degrees of freedom of actors that have some only; quaternions are xyzw; what a tensor shows is as
new as the last refresh. All environments stand at the origin, so that there is one world frame;
collision groups keep them apart.
"""

import os

from isaacgym import gymapi, gymtorch  # before torch, which it insists on

import numpy as np  # isort: skip
import torch  # isort: skip

TOUCHED = 0.05
"""[N] A finger that something pushes harder touches it."""


class Scene:
    """Isaac Gym's simulation, and its tensors."""

    def __init__(self, opening, cubes):
        self.opening, self.copies = opening, opening["copies"]
        self.arms, self.joints = len(opening["arms"]), len(opening["joints"])
        self.device = opening["device"]
        self.gym = gymapi.acquire_gym()
        self.sim = self._make_sim()
        self._build(cubes)
        self.gym.prepare_sim(self.sim)
        self._acquire()

    def place(self, state, rows):
        """Write states into the tensors; Isaac Gym is told of them at the next step."""
        position, velocity = state["joint_position"], state["joint_velocity"]
        fingers = (state["gripper_width"] / 2).unsqueeze(-1).expand(-1, -1, 2)
        dofs = torch.zeros(len(rows), self.arms, self.joints + 2, 2, device=self.device)
        dofs[..., : self.joints, 0], dofs[..., : self.joints, 1] = position, velocity
        dofs[..., self.joints :, 0] = fingers
        # A set point leads its moving joint by as much as the damping holds it back.
        self._targets[rows] = torch.cat((position + self._lead * velocity, fingers), -1)
        self._dofs[rows.view(-1, 1, 1), self._order] = dofs
        cube = torch.cat(
            (state["cube_position"], _to_xyzw(state["cube_quaternion"]), state["cube_velocity"]), 1
        )
        self._roots[self._cube_actors[rows]] = cube

    def rest(self, count):
        """States without motion: arms in the middle of their ranges, cubes at the origin."""
        middle = (self._lower + self._upper) / 2
        zero = torch.zeros(count, 6, device=self.device)
        still = torch.zeros(count, self.arms, self.joints, device=self.device)
        upright = torch.tensor([1.0, 0.0, 0.0, 0.0], device=self.device)
        return {
            "joint_position": middle.expand(count, self.arms, -1).clone(),
            "joint_velocity": still,
            "gripper_width": still[..., 0].clone(),
            "cube_position": zero[:, :3] + self.opening["cube"]["size"] / 2,
            "cube_quaternion": upright.expand(count, -1).clone(),
            "cube_velocity": zero,
        }

    def advance(self, targets, rows, dirty):
        """One physics step of all copies, in which each setter is called once at most."""
        if len(dirty):
            self._set_dirty(torch.as_tensor(dirty, dtype=torch.long, device=self.device))
        given = targets.view(len(rows), self.arms, 8)
        moved = self._targets[rows]
        joints = moved[..., : self.joints] + self.opening["timestep"] * _bounded(
            given[..., :7], self._speed
        )
        moved[..., : self.joints] = torch.max(torch.min(joints, self._upper), self._lower)
        travel = self.opening["finger"]["travel"]
        moved[..., self.joints :] = (given[..., 7:] / 2).clamp(0.0, travel)
        self._targets[rows] = moved
        every = torch.arange(self.copies, device=self.device).view(-1, 1, 1)
        self._commands[every, self._order] = self._targets
        self.gym.set_dof_position_target_tensor(self.sim, gymtorch.unwrap_tensor(self._commands))
        self.gym.simulate(self.sim)
        self.gym.fetch_results(self.sim, True)
        self._refresh()

    def kept(self, rows):
        """What some copies go on from, in memory of its own."""
        cubes = self._cube_actors[rows]
        return self._dofs[rows], self._roots[cubes], self._targets[rows]

    def put_back(self, rows, kept):
        """Write that again; Isaac Gym is told of it at the next step."""
        self._dofs[rows], self._roots[self._cube_actors[rows]], self._targets[rows] = kept

    def read(self):
        """The state of all copies, numpy arrays."""
        every = torch.arange(self.copies, device=self.device).view(-1, 1, 1)
        dofs = self._dofs[every, self._order]
        cube = self._roots[self._cube_actors]
        force = self._forces[self._finger_bodies].norm(dim=-1)  # (n, arms, 2)
        on_cube = self._forces[self._cube_bodies].norm(dim=-1)
        touched = (force > TOUCHED).any(-1).any(-1) & (on_cube > TOUCHED)
        found = {
            "joint_position": dofs[..., : self.joints, 0],
            "joint_velocity": dofs[..., : self.joints, 1],
            "gripper_width": dofs[..., self.joints :, 0].sum(-1),
            "cube_position": cube[:, :3],
            "cube_quaternion": _to_wxyz(cube[:, 3:7]),
            "cube_velocity": cube[:, 7:],
            "cube_contact": touched.float(),
        }
        return {name: np.array(value.cpu().numpy()) for name, value in found.items()}

    def vary(self, cubes, rows):
        """Tell Isaac Gym of the cubes of some copies; masses count until the first step only."""
        for row in rows:
            self._vary(int(row), cubes)

    def close(self):
        """Free the simulation."""
        self.gym.destroy_sim(self.sim)

    # -- making it ------------------------------------------------------------------------------

    def _make_sim(self):
        on_gpu = self.device.startswith("cuda")
        number = int(self.device.split(":")[1]) if ":" in self.device else 0
        params = gymapi.SimParams()
        params.dt = self.opening["timestep"]
        params.substeps = 2
        params.up_axis = gymapi.UP_AXIS_Z
        params.gravity = gymapi.Vec3(0.0, 0.0, -9.81)
        params.use_gpu_pipeline = on_gpu
        params.physx.use_gpu = on_gpu
        params.physx.solver_type = 1
        params.physx.num_position_iterations = 16
        params.physx.num_velocity_iterations = 1
        params.physx.contact_offset = 0.002
        params.physx.rest_offset = 0.0
        sim = self.gym.create_sim(number, -1, gymapi.SIM_PHYSX, params)
        if sim is None:
            raise RuntimeError("Isaac Gym could not make a simulation on %s" % self.device)
        plane = gymapi.PlaneParams()
        plane.normal = gymapi.Vec3(0.0, 0.0, 1.0)
        plane.distance = -self.opening["floor"]
        self.gym.add_ground(sim, plane)
        return sim

    def _build(self, cubes):
        arm, cube, table = self._assets(self.opening["folder"])
        names = self.gym.get_asset_dof_names(arm)
        wanted = self.opening["joints"] + self.opening["fingers"]
        if sorted(names) != sorted(wanted):
            raise RuntimeError("the arm has the joints %s, not %s" % (names, wanted))
        inside = [names.index(name) for name in wanted]
        dofs = len(names)
        self._order = torch.tensor(
            [[arm_number * dofs + i for i in inside] for arm_number in range(self.arms)],
            device=self.device,
        ).unsqueeze(0)
        self._handles, arm_actors, cube_actors, fingers, bodies = [], [], [], [], []
        nowhere = gymapi.Vec3(0.0, 0.0, 0.0)
        size = self.opening["cube"]["size"]
        for number in range(self.copies):
            env = self.gym.create_env(self.sim, nowhere, nowhere, self.copies)
            arms = [self._add_arm(env, arm, which, number) for which in range(self.arms)]
            lying = _pose([0.0, 0.0, size / 2])
            block = self.gym.create_actor(env, cube, lying, "cube", number, 0)
            top = _pose([0.0, 0.0, -self.opening["table"][2] / 2])
            board = self.gym.create_actor(env, table, top, "table", number, 0)
            self._handles.append((env, arms, block, board))
            arm_actors.append([self._actor(env, handle) for handle in arms])
            cube_actors.append(self._actor(env, block))
            fingers.append(
                [
                    [self._body(env, handle, name) for name in self.opening["hands"][1:]]
                    for handle in arms
                ]
            )
            (only,) = self.gym.get_actor_rigid_body_names(env, block)
            bodies.append(self._body(env, block, only))
            self._vary(number, cubes)
        self._arm_actors = torch.tensor(arm_actors, device=self.device)
        self._cube_actors = torch.tensor(cube_actors, device=self.device)
        self._finger_bodies = torch.tensor(fingers, device=self.device)
        self._cube_bodies = torch.tensor(bodies, device=self.device)
        self._dofs_each = dofs * self.arms

    def _assets(self, folder):
        with open(os.path.join(folder, "fr3.urdf"), "w") as file:
            file.write(self.opening["urdf"])
        options = gymapi.AssetOptions()
        options.fix_base_link = True
        options.disable_gravity = True  # the robots compensate theirs
        options.replace_cylinder_with_capsule = True
        options.use_physx_armature = True
        options.collapse_fixed_joints = False
        options.default_dof_drive_mode = int(gymapi.DOF_MODE_POS)
        arm = self.gym.load_asset(self.sim, folder, "fr3.urdf", options)
        if arm is None:
            raise RuntimeError("Isaac Gym could not read the arm's URDF")
        edge = self.opening["cube"]["size"]
        loose, fixed = gymapi.AssetOptions(), gymapi.AssetOptions()
        fixed.fix_base_link = True
        cube = self.gym.create_box(self.sim, edge, edge, edge, loose)
        return arm, cube, self.gym.create_box(self.sim, *self.opening["table"], options=fixed)

    def _add_arm(self, env, asset, which, number):
        base = self.opening["bases"][which]
        # Shapes that share a filter's bit do not meet: an arm does not touch itself.
        name = self.opening["arms"][which]
        pose = _pose(base[:3], base[3:])
        handle = self.gym.create_actor(env, asset, pose, name, number, 1 << which)
        names = self.gym.get_asset_dof_names(asset)
        props = self.gym.get_actor_dof_properties(env, handle)
        finger = self.opening["finger"]
        for place, dof in enumerate(names):
            props["driveMode"][place] = int(gymapi.DOF_MODE_POS)
            if dof in self.opening["fingers"]:
                for field in ("stiffness", "damping", "armature", "effort"):
                    props[field][place] = finger[field]
            else:
                joint = self.opening["joints"].index(dof)
                for field in ("stiffness", "damping", "armature", "effort", "velocity"):
                    props[field][place] = self.opening[field][joint]
        self.gym.set_actor_dof_properties(env, handle, props)
        return handle

    def _vary(self, number, cubes):
        """A copy's cube: mass, and friction that pads and table share with it."""
        env, arms, block, board = self._handles[number]
        bodies = self.gym.get_actor_rigid_body_properties(env, block)
        bodies[0].mass = float(cubes["mass"][number])
        self.gym.set_actor_rigid_body_properties(env, block, bodies, True)
        for handle in arms + [block, board]:
            shapes = self.gym.get_actor_rigid_shape_properties(env, handle)
            for shape in shapes:
                shape.friction = float(cubes["friction"][number])
            self.gym.set_actor_rigid_shape_properties(env, handle, shapes)

    def _actor(self, env, handle):
        return self.gym.get_actor_index(env, handle, gymapi.DOMAIN_SIM)

    def _body(self, env, handle, name):
        return self.gym.find_actor_rigid_body_index(env, handle, name, gymapi.DOMAIN_SIM)

    def _acquire(self):
        gym, sim = self.gym, self.sim
        self._refresh()
        self._roots = gymtorch.wrap_tensor(gym.acquire_actor_root_state_tensor(sim))
        flat = gymtorch.wrap_tensor(gym.acquire_dof_state_tensor(sim))
        self._flat = flat
        self._dofs = flat.view(self.copies, self._dofs_each, 2)
        self._forces = gymtorch.wrap_tensor(gym.acquire_net_contact_force_tensor(sim))
        self._commands = torch.zeros(self.copies, self._dofs_each, device=self.device)
        shape = (self.copies, self.arms, self.joints + 2)
        self._targets = torch.zeros(shape, device=self.device)
        values = {
            name: torch.tensor(self.opening[name], device=self.device)
            for name in ("lower", "upper", "velocity", "stiffness", "damping")
        }
        self._lower, self._upper, self._speed = values["lower"], values["upper"], values["velocity"]
        self._lead = values["damping"] / values["stiffness"]
        self._refresh()

    def _refresh(self):
        self.gym.refresh_dof_state_tensor(self.sim)
        self.gym.refresh_actor_root_state_tensor(self.sim)
        self.gym.refresh_net_contact_force_tensor(self.sim)

    def _set_dirty(self, rows):
        """Tell Isaac Gym what was written: each setter once, only actors that it is about."""
        arms = self._arm_actors[rows].flatten().to(torch.int32)
        cubes = self._cube_actors[rows].to(torch.int32)
        self.gym.set_dof_state_tensor_indexed(
            self.sim, gymtorch.unwrap_tensor(self._flat), gymtorch.unwrap_tensor(arms), len(arms)
        )
        self.gym.set_actor_root_state_tensor_indexed(
            self.sim, gymtorch.unwrap_tensor(self._roots), gymtorch.unwrap_tensor(cubes), len(cubes)
        )


def _pose(position, quaternion=(1.0, 0.0, 0.0, 0.0)):
    """Isaac Gym's, from a quaternion wxyz."""
    pose = gymapi.Transform()
    pose.p = gymapi.Vec3(*position)
    real, x, y, z = quaternion
    pose.r = gymapi.Quat(x, y, z, real)
    return pose


def _to_xyzw(quaternion):
    return torch.cat((quaternion[..., 1:], quaternion[..., :1]), -1)


def _to_wxyz(quaternion):
    return torch.cat((quaternion[..., 3:], quaternion[..., :3]), -1)


def _bounded(values, bound):
    return torch.max(torch.min(values, bound), -bound)
