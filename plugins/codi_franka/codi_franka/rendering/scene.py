"""A MuJoCo model that is only looked at, never stepped.

Its skeleton is the physics model, so that the same joint positions give the same poses. With the
``franky-sim`` wheel installed the arms wear their published meshes.
"""

from __future__ import annotations

import attrs
import mujoco
import numpy as np
from numpy.typing import NDArray

from codi_franka.handoff.options import SUCCESS_RADIUS
from codi_franka.physics.model import build_spec
from codi_franka.physics.model_index import ModelIndex
from codi_franka.rendering import palette
from codi_franka.rendering.meshes import (
    VisualMesh,
    assets_folder,
    load_visual_meshes,
    warn_without_meshes,
)
from codi_franka.rendering.shadows import LIGHT_DIRECTION
from codi_franka.robot import cell
from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.cell import ARM_BASES, ARMS

Array = NDArray[np.float64]

_GEOM = mujoco.mjtGeom
_PLATE = 0.004
"""[m] Height of the plates under the arms."""
_EDGE = 0.012
"""[m] Width of the strip around the table top."""
_MARK = 0.0015
"""[m] Between the layers that lie on the table: nearer ones flicker."""
_HIDDEN = 3
"""The group of shapes that MuJoCo does not draw."""
_MATERIALS_OWN = (0.5, 0.5, 0.5, 1.0)
"""MuJoCo's default colour: any other would override the material's."""
_LOOK_ONLY: dict[str, float] = {"contype": 0, "conaffinity": 0, "mass": 0.0}
CAMERA = "front"


@attrs.frozen(eq=False)
class HandoffScene:
    """The compiled model with the addresses that a picture sets.

    Attributes:
        model: compiled.
        index: addresses of arms and cube.
        goal: id of the goal marker's mocap body.
        has_meshes: whether the arms wear the published meshes.
    """

    model: mujoco.MjModel
    index: ModelIndex
    goal: int
    has_meshes: bool

    def casters(self) -> NDArray[np.bool_]:
        """Which geoms cast a shadow on the table: those of the arms and the cube, (ngeom,)."""
        bodies = np.concatenate([arm.bodies for arm in self.index.arms])
        return np.isin(self.model.geom_bodyid, [*bodies, self.index.cube_body])

    def pose(
        self,
        data: mujoco.MjData,
        joint_position: NDArray[np.floating],
        gripper_width: NDArray[np.floating],
        cube_position: NDArray[np.floating],
        cube_quaternion: NDArray[np.floating],
        goal: NDArray[np.floating],
    ) -> None:
        """Put everything in its place and compute where the shapes are.

        Args:
            data: of this model.
            joint_position: (N, 7) [rad].
            gripper_width: (N,) [m].
            cube_position: (3,) [m], world frame.
            cube_quaternion: (4,), wxyz.
            goal: (3,) [m], world frame; the mark lies on the table below it.
        """
        for arm, joints, width in zip(self.index.arms, joint_position, gripper_width, strict=True):
            data.qpos[arm.joint_qpos] = joints
            data.qpos[arm.finger_qpos] = width / 2
        data.qpos[self.index.cube_qpos] = np.concatenate((cube_position, cube_quaternion))
        data.mocap_pos[self.goal] = (goal[0], goal[1], 0.0)
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_camlight(self.model, data)


def build_scene(*, meshes: bool | None = None, box: Box = CUBE) -> HandoffScene:
    """Make the scene.

    Args:
        meshes: whether the arms wear the published meshes; None: if they are installed, with a
            warning if not.
        box: what stands for the cube.
    """
    spec, has_meshes = describe_scene(meshes, box)
    return compile_scene(spec, has_meshes)


def describe_scene(meshes: bool | None = None, box: Box = CUBE) -> tuple[mujoco.MjSpec, bool]:
    """The scene before it is compiled, for those who add to it, and whether there are meshes.

    Args:
        meshes: as for :func:`build_scene`.
        box: likewise.
    """
    assets = assets_folder() if meshes is not False else None
    if assets is None and meshes is None:
        warn_without_meshes()
    spec = build_spec(ARMS, box=box)
    if assets is not None:
        _dress(spec, load_visual_meshes(assets))
    else:
        _add_fingers(spec)
    _add_surroundings(spec)
    _style_table(spec)
    _add_rim_mesh(spec)
    _add_goal(spec.worldbody)
    return spec, assets is not None


def compile_scene(spec: mujoco.MjSpec, has_meshes: bool) -> HandoffScene:
    """Compile what :func:`describe_scene` returned."""
    model = spec.compile()
    _set_quality(model)
    goal = int(model.body("goal").mocapid[0])
    return HandoffScene(model, ModelIndex.of(model), goal, has_meshes)


def _dress(spec: mujoco.MjSpec, meshes: list[VisualMesh]) -> None:
    """Show meshes instead of the arms' collision shapes."""
    for geom in spec.geoms:
        if geom.name.startswith(tuple(f"{arm}/" for arm in ARMS)):
            geom.group = _HIDDEN
    for number, mesh in enumerate(meshes):
        name = f"look{number}"
        _add_mesh(spec, name, mesh.vertices, mesh.faces)
        for arm in ARMS:
            spec.body(f"{arm}/{mesh.body}").add_geom(
                type=_GEOM.mjGEOM_MESH, meshname=name, rgba=mesh.rgba, **_LOOK_ONLY
            )


def _add_fingers(spec: mujoco.MjSpec) -> None:
    """Physics needs the pads alone; without fingers they hang in the air."""
    for arm in ARMS:
        for side in ("left", "right"):
            spec.body(f"{arm}/{side}_finger").add_geom(
                type=_GEOM.mjGEOM_BOX,
                pos=(0.0, 0.014, 0.018),
                size=(0.0085, 0.006, 0.035),
                rgba=(0.75, 0.76, 0.78, 1.0),
                **_LOOK_ONLY,
            )


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=palette.SKY[0],
        rgb2=palette.SKY[1],
        width=256,
        height=1536,
    )
    spec.add_texture(
        name="floor",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        mark=mujoco.mjtMark.mjMARK_EDGE,
        rgb1=palette.FLOOR[0],
        rgb2=palette.FLOOR[1],
        markrgb=palette.FLOOR_LINES,
        width=256,
        height=256,
    )
    textures = [""] * int(mujoco.mjtTextureRole.mjNTEXROLE)
    textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = "floor"
    spec.add_material(
        name="floor", textures=textures, texrepeat=(1.0, 1.0), texuniform=True, specular=0.0
    )
    floor = spec.geom("floor")
    floor.rgba = _MATERIALS_OWN
    floor.material, floor.size = "floor", (0.0, 0.0, 0.1)
    _add_light(spec)
    spec.worldbody.add_camera(
        name=CAMERA, fovy=34.0, **_looking((0.0, -2.45, 1.2), (0.0, 0.0, 0.2))
    )


def _add_light(spec: mujoco.MjSpec) -> None:
    spec.delete(spec.light("lamp"))
    spec.worldbody.add_light(
        name="key",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=(0.0, 0.0, 3.0),
        dir=LIGHT_DIRECTION,
        castshadow=False,
        diffuse=(0.5, 0.49, 0.47),
        specular=(0.25, 0.25, 0.25),
    )


def _looking(
    position: tuple[float, float, float], target: tuple[float, float, float]
) -> dict[str, object]:
    """A camera's pose: its x axis stays horizontal."""
    back = np.subtract(position, target)
    back = back / np.linalg.norm(back)
    right = np.cross((0.0, 0.0, 1.0), back)
    right = right / np.linalg.norm(right)
    up = np.cross(back, right)
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.stack((right, up, back), axis=1).ravel())
    return {"pos": position, "quat": quaternion}


def _style_table(spec: mujoco.MjSpec) -> None:
    for name, rgb, shine in (
        ("table", palette.TABLE, 0.15),
        ("edge", palette.TABLE_EDGE, 0.1),
        ("legs", palette.LEGS, 0.3),
        ("cube", palette.CUBE, 0.3),
    ):
        spec.add_material(name=name, rgba=(*rgb, 1.0), specular=shine, shininess=0.4)
    for name in ("table", "cube"):
        spec.geom(name).material = name
        spec.geom(name).rgba = _MATERIALS_OWN
    top = spec.geom("table")
    half = np.array(cell.TABLE_SIZE) / 2
    top.size = (*half, 0.02)
    top.pos = (0.0, 0.0, -0.02)
    _add_edges(spec.worldbody, half)
    _add_legs(spec.worldbody, half)
    _add_plates(spec.worldbody)


def _add_edges(world: mujoco.MjsBody, half: NDArray[np.float64]) -> None:
    x, y = half
    for centre, size in (
        ((0.0, y), (x + 2 * _EDGE, _EDGE)),
        ((0.0, -y), (x + 2 * _EDGE, _EDGE)),
        ((x, 0.0), (_EDGE, y)),
        ((-x, 0.0), (_EDGE, y)),
    ):
        outwards = np.sign(centre) * _EDGE
        world.add_geom(
            type=_GEOM.mjGEOM_BOX,
            pos=(*(np.array(centre) + outwards), -0.0225),
            size=(*size, 0.0225),
            material="edge",
            **_LOOK_ONLY,
        )


def _add_legs(world: mujoco.MjsBody, half: NDArray[np.float64]) -> None:
    height = -cell.FLOOR_HEIGHT
    for x in (-1, 1):
        for y in (-1, 1):
            world.add_geom(
                type=_GEOM.mjGEOM_BOX,
                pos=(x * (half[0] - 0.08), y * (half[1] - 0.08), -0.04 - (height - 0.04) / 2),
                size=(0.03, 0.03, (height - 0.04) / 2),
                material="legs",
                **_LOOK_ONLY,
            )


def _add_plates(world: mujoco.MjsBody) -> None:
    """A plate under each base, in the colour that the arm has in all pictures."""
    for arm, base in ARM_BASES.items():
        behind = np.sign(base.position[0]) * 0.055
        world.add_geom(
            type=_GEOM.mjGEOM_BOX,
            pos=(base.position[0] + behind, base.position[1], _PLATE / 2),
            size=(0.105, 0.115, _PLATE / 2),
            rgba=(*palette.ARMS[arm], 1.0),
            **_LOOK_ONLY,
        )


def _add_goal(world: mujoco.MjsBody) -> None:
    """A translucent disc of the size of the tolerance, its rim and a small mark at its centre."""
    body = world.add_body(name="goal", mocap=True)

    def disc(radius: float, layer: int, alpha: float, name: str) -> None:
        body.add_geom(
            name=name,
            type=_GEOM.mjGEOM_CYLINDER,
            pos=(0.0, 0.0, layer * _MARK),
            size=(radius, _MARK / 4, 0.0),
            rgba=(*palette.GOAL, alpha),
            **_LOOK_ONLY,
        )

    disc(SUCCESS_RADIUS, 1, 0.45, "goal/area")
    disc(0.012, 2, 1.0, "goal/centre")
    body.add_geom(
        type=_GEOM.mjGEOM_MESH,
        meshname="goal/rim",
        pos=(0.0, 0.0, _MARK),
        rgba=(*palette.GOAL, 1.0),
        **_LOOK_ONLY,
    )


def _add_rim_mesh(spec: mujoco.MjSpec, points: int = 90) -> None:
    """A flat ring around the goal's disc."""
    angle = np.linspace(0.0, 2 * np.pi, points, endpoint=False)
    circle = np.stack((np.cos(angle), np.sin(angle), np.zeros(points)), -1)
    inner, outer = (SUCCESS_RADIUS - 0.005) * circle, SUCCESS_RADIUS * circle
    here = np.arange(points)
    after = (here + 1) % points
    faces = np.concatenate(
        (
            np.stack((here, here + points, after), -1),
            np.stack((after, here + points, after + points), -1),
        )
    )
    _add_mesh(spec, "goal/rim", np.concatenate((inner, outer)), faces)


def _add_mesh(spec: mujoco.MjSpec, name: str, vertices: Array, faces: NDArray[np.integer]) -> None:
    spec.add_mesh(
        name=name,
        uservert=vertices.ravel(),
        userface=faces.ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )


def _set_quality(model: mujoco.MjModel) -> None:
    visual = model.vis
    visual.global_.offwidth, visual.global_.offheight = 1920, 1440
    visual.headlight.ambient = (0.46, 0.46, 0.47)
    visual.headlight.diffuse = (0.22, 0.22, 0.23)
    visual.headlight.specular = (0.0, 0.0, 0.0)
    model.stat.extent = 2.0
    model.stat.center = (0.0, 0.0, 0.1)
    visual.map.znear, visual.map.zfar = 0.05, 20.0
