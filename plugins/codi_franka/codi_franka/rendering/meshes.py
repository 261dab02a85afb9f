"""The FR3's published look, taken from the meshes in the ``franky-sim`` wheel.

The meshes have half a million triangles for two arms, far more than a video shows: rendering them
in software takes 0.2 s a frame. They are thinned to what a picture can resolve.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import attrs
import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Faces = NDArray[np.int32]

CELL = 0.005
"""[m] Vertices closer than about this are merged: one pixel of a 640 pixel wide picture."""

_BODIES = {
    **{f"fr3_link{number}": f"link{number}" for number in range(8)},
    **{name: name for name in ("hand", "left_finger", "right_finger")},
}
"""The bodies' names in the wheel's model and in :mod:`codi_franka.physics.model`."""


@attrs.frozen(eq=False)
class VisualMesh:
    """A coloured surface, fixed to a body of an arm.

    Attributes:
        body: the body's name without the arm's.
        vertices: (v, 3) [m], in the body's frame.
        faces: (f, 3), indices of vertices, counterclockwise from outside.
        rgba: the colour.
    """

    body: str
    vertices: Array
    faces: Faces
    rgba: tuple[float, ...]


def assets_folder() -> Path | None:
    """The assets of the ``franky-sim`` wheel, or None if it is not installed.

    The package is not imported: only its files are needed.
    """
    package = importlib.util.find_spec("franky_sim")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "assets"
    return folder if (folder / "fr3.xml").is_file() else None


def load_visual_meshes(assets: Path, cell: float = CELL) -> list[VisualMesh]:
    """All surfaces of one arm with its hand.

    Args:
        assets: from :func:`assets_folder`.
        cell: [m], how much detail to drop; 0 keeps everything.
    """
    model = _visual_spec(assets).compile()
    return [_visual_mesh(model, geom, cell) for geom in range(model.ngeom)]


def _visual_spec(assets: Path) -> mujoco.MjSpec:
    """The wheel's model without all that only physics needs."""
    spec = mujoco.MjSpec.from_file(str(assets / "fr3.xml"))
    spec.meshdir = str(assets / "meshes")
    for geom in list(spec.geoms):
        if geom.classname.name != "visual":
            spec.delete(geom)
    shown = {geom.meshname for geom in spec.geoms}
    hidden = [mesh for mesh in spec.meshes if mesh.name not in shown]
    for part in (*hidden, *spec.keys, *spec.actuators, *spec.tendons, *spec.equalities):
        spec.delete(part)
    for mesh in spec.meshes:  # thin shells have no volume to compute inertia from
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    return spec


def _visual_mesh(model: mujoco.MjModel, geom: int, cell: float) -> VisualMesh:
    mesh = model.geom_dataid[geom]
    start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    vertices = model.mesh_vert[start : start + count].astype(np.float64)
    start, count = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    faces = model.mesh_face[start : start + count]
    matrix = np.empty(9)  # MuJoCo has moved the mesh to its principal axes; undo that
    mujoco.mju_quat2Mat(matrix, model.geom_quat[geom])
    vertices = vertices @ matrix.reshape(3, 3).T + model.geom_pos[geom]
    if cell > 0:
        vertices, faces = merge_close_vertices(vertices, faces, cell)
    body = _BODIES[model.body(model.geom_bodyid[geom]).name]
    rgba = model.mat_rgba[model.geom_matid[geom]]
    return VisualMesh(body, vertices, faces, tuple(float(value) for value in rgba))


def merge_close_vertices(vertices: Array, faces: Faces, cell: float) -> tuple[Array, Faces]:
    """Merge all vertices in the same cubic cell into their mean and drop collapsed faces.

    Args:
        vertices: (v, 3) [m].
        faces: (f, 3).
        cell: edge length [m]; a mesh that would vanish is returned as it is.
    """
    keys = np.floor(vertices / cell).astype(np.int64)
    _, group, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    merged = np.zeros((len(count), 3))
    np.add.at(merged, group, vertices)
    merged /= count[:, None]
    kept = group[faces]
    a, b, c = kept.T
    kept = kept[(a != b) & (b != c) & (c != a)]
    if len(kept) < 4:
        return vertices, faces
    _, first = np.unique(np.sort(kept, axis=1), axis=0, return_index=True)
    return merged, kept[np.sort(first)].astype(np.int32)


def warn_without_meshes() -> None:
    """Say once that the pictures show our own shapes."""
    warnings.warn(
        "the FR3's meshes are not installed, so pictures show plain shapes instead: "
        "pip install 'codi-franka[visual]' for the real look",
        stacklevel=3,
    )
