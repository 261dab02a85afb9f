"""The handover in Isaac Gym Preview 4: the worker's backend, which keeps the books.

Which copies are to be set, which have failed, and which stand still while others go on.
"""

from isaac_scene import Scene  # brings Isaac Gym before torch, which it insists on

import numpy as np  # isort: skip
import torch  # isort: skip

FASTEST = 1e3
"""[rad/s, m/s] A copy with a faster joint or cube has diverged."""


def make(opening):
    """As the worker asks for it."""
    return IsaacBackend(opening)


class IsaacBackend:
    """n copies of the scene, one environment each.

    They are made at the first step: with the GPU's pipeline a cube's mass can't be changed after
    that. Friction can.

    Attributes:
        measures: what is measured besides the state.
        versions: of what this stands on.
    """

    measures = ("cube_contact",)

    def __init__(self, opening):
        self.opening = opening
        self.versions = {"torch": torch.__version__, "isaacgym": _version()}
        self.copies, self.arms = opening["copies"], len(opening["arms"])
        self.valid = np.ones(self.copies, dtype=bool)
        self.cubes = {"mass": np.full(self.copies, opening["cube"]["mass"])}
        self.cubes["friction"] = np.ones(self.copies)
        self._scene = None
        # What copies are set to; Isaac Gym is told right before its next step.
        self._dirty = np.zeros(self.copies, dtype=bool)

    def set_state(self, state, rows, cubes):
        """Note states, numpy arrays (n', ...), for copies ``rows``, and cubes of their own.

        What no simulation can go on from is not given to Isaac Gym: those copies have failed.
        """
        if cubes is not None:
            for name, value in cubes.items():
                self.cubes[name][rows] = value
            if self._scene is not None:
                self._scene.vary(self.cubes, rows)
        scene = self._ready()
        chosen = torch.as_tensor(rows, dtype=torch.long, device=scene.device)
        scene.place({n: _tensor(v, scene.device) for n, v in state.items()}, chosen)
        self._dirty[rows] = True
        sound = _sound(state)
        self.valid[rows] = sound
        self._let_rest(rows[~sound])

    def step(self, targets, count, rows):
        """Hold targets (n', arms * 8) for some physics steps; the other copies stand still."""
        scene = self._ready()
        others = np.setdiff1d(np.arange(self.copies), rows)
        still = torch.as_tensor(others, dtype=torch.long, device=scene.device)
        kept = scene.kept(still)
        chosen = torch.as_tensor(rows, dtype=torch.long, device=scene.device)
        given = _tensor(targets, scene.device)
        for _ in range(count):
            scene.advance(given, chosen, np.flatnonzero(self._dirty))
            self._dirty[:] = False
        if count and len(others):
            scene.put_back(still, kept)
            self._dirty[others] = True
        seen = scene.read()
        self._judge(seen)
        return {name: value[rows] for name, value in seen.items()}

    def close(self):
        """Free the simulation."""
        if self._scene is not None:
            self._scene.close()

    def _ready(self):
        if self._scene is None:
            self._scene = Scene(self.opening, self.cubes)
        return self._scene

    def _judge(self, seen):
        """Mark copies that diverged, and let them go on from rest."""
        sound = _sound(seen)
        self.valid &= sound
        self._let_rest(np.flatnonzero(~sound))
        for value in seen.values():
            value[~sound] = 0.0
        seen["valid"] = self.valid.astype(np.uint8)

    def _let_rest(self, rows):
        if len(rows):
            chosen = torch.as_tensor(rows, dtype=torch.long, device=self._scene.device)
            self._scene.place(self._scene.rest(len(rows)), chosen)
            self._dirty[rows] = True


def _sound(state):
    """Which rows of a state, numpy arrays (n, ...), are finite and not too fast."""
    count = len(state["cube_velocity"])
    fast = np.maximum(
        np.abs(state["joint_velocity"]).max((1, 2)), np.abs(state["cube_velocity"]).max(1)
    )
    finite = [np.isfinite(value).reshape(count, -1).all(1) for value in state.values()]
    return np.logical_and.reduce(finite) & (fast < FASTEST)


def _tensor(array, device):
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32, device=device)


def _version():
    import isaacgym

    return getattr(isaacgym, "__version__", "unknown")
