"""Makes what steps FR3 arms in MuJoCo, for ``--simulator mujoco``."""

from __future__ import annotations

import mujoco

from codi_franka.physics.model import DEFAULT_TIMESTEP
from codi_franka.physics.mujoco_rollouts import MujocoRollouts
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.nominal import build_nominal_model
from codi_franka.physics.sensors import instrumented_model


class MujocoMaker:
    """Makes simulators that measure contacts, and compiles each model once.

    Args:
        threads: how many simulations run at once; 0 for all processors.
        timestep: of the physics [s]; up to 0.01 keeps a grasp.
    """

    def __init__(self, threads: int = 1, timestep: float = DEFAULT_TIMESTEP) -> None:
        self.threads = threads
        self.timestep = timestep
        self._models: dict[tuple[str, ...], mujoco.MjModel] = {}
        self._light: dict[tuple[str, ...], mujoco.MjModel] = {}

    def __call__(self, arms: tuple[str, ...], copies: int) -> MujocoSimulator:
        """A simulator of these arms, in the order of the state, in n copies."""
        if arms not in self._models:
            self._models[arms] = instrumented_model(arms, self.timestep)
        return MujocoSimulator(arms, copies, self.threads, self._models[arms])

    def rollouts(self, arms: tuple[str, ...], copies: int) -> MujocoRollouts:
        """What predictors roll out: n copies of the light model, with time steps of its own."""
        if arms not in self._light:
            self._light[arms] = build_nominal_model(arms)
        return MujocoRollouts(arms, copies, self.threads, self._light[arms])
