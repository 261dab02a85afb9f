"""What surroundings do to an arm, as a robot estimates it; ``franky-sim`` tells motor torques."""

from __future__ import annotations

import mujoco
import numpy as np

FILTER = 0.03
"""[s] The time constant of the robot's filter."""


class Contacts:
    """External forces and torques of one robot.

    Args:
        sim: the simulation, started.
        number: of the robot.
        turned: (3, 3), the robot's base in the world.
    """

    def __init__(self, sim, number: int, turned: np.ndarray) -> None:
        self.model, self.data = sim.model, sim.data
        self.turned = turned
        names = [self.model.body(body).name for body in range(self.model.nbody)]
        mine = f"robot{number}_"
        self.bodies = np.array([name.startswith(mine) for name in names])
        self.hand = np.array([name.startswith(mine) and "link" not in name for name in names])
        joints = [self.model.joint(f"{mine}fr3_joint{joint}") for joint in range(1, 8)]
        self.dofs = np.array([int(joint.dofadr[0]) for joint in joints])
        self.torques, self.force = np.zeros(7), np.zeros(3)

    def loads(self, seconds: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The joints' torques (7,) [N m], and force and torque at the hand (6,), base frame.

        They are filtered, as a robot's are.

        Args:
            seconds: since the last call [s].
        """
        torques, force = self._now()
        share = min(1.0, seconds / FILTER)
        self.torques += share * (torques - self.torques)
        self.force += share * (force - self.force)
        return tuple(self.torques), (*(self.turned.T @ self.force), 0.0, 0.0, 0.0)

    def _now(self) -> tuple[np.ndarray, np.ndarray]:
        torques, force = np.zeros(7), np.zeros(3)
        contact, body_of = self.data.contact, self.model.geom_bodyid
        bodies = body_of[contact.geom[: self.data.ncon]]
        for index in np.flatnonzero(self.bodies[bodies].sum(-1) == 1):
            first, second = bodies[index]
            sign, body = (1.0, second) if self.bodies[second] else (-1.0, first)
            wrench, jacobian = np.zeros(6), np.zeros((3, self.model.nv))
            mujoco.mj_contactForce(self.model, self.data, int(index), wrench)
            pushed = sign * contact.frame[index].reshape(3, 3).T @ wrench[:3]
            mujoco.mj_jac(self.model, self.data, jacobian, None, contact.pos[index], int(body))
            torques += jacobian[:, self.dofs].T @ pushed
            force += pushed if self.hand[body] else 0.0
        return torques, force
