"""The scene with a marked box instead of the plain cube, and with the cameras that look at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from codi_franka.rendering.opengl import Frame, OffscreenCamera
from codi_franka.rendering.scene import HandoffScene, compile_scene, describe_scene
from codi_franka.rendering.shadows import TableShadows
from codi_franka.robot.box import Box
from codi_franka.vision.camera_model import WORLD, CameraModel
from codi_franka.vision.detection import dictionary
from codi_franka.vision.markers import FACES, MODULES, Face, MarkedBox
from codi_franka.vision.poses import matrix, to_pose

Array = NDArray[np.float64]
Image = NDArray[Any]

_TILE = 600
"""[pixels] Of a face in the texture; the cube's markers begin and end at whole ones."""
_PAPER, _INK = 235, 25
"""Printed paper is not quite white and ink not quite black."""
_FLIPPED = np.diag((1.0, -1.0, -1.0, 1.0))
"""From MuJoCo's camera frame, which looks along -z with y up, to OpenCV's."""
_EYE = "eye/"
"""The scene has cameras of its own."""
AWAY = np.array([0.0, 0.0, -5.0, 1.0, 0.0, 0.0, 0.0])
"""A pose that no camera sees."""


def face_picture(box: MarkedBox, face: Face, patch: Image | None = None) -> Image:
    """A face, (600, 600), seen from outside with its marker upright, stretched to a square.

    Args:
        box: with the markers.
        face: one of its faces.
        patch: what is printed instead of the marker, grey; None for the marker.
    """
    if patch is None:
        modules = cv2.aruco.generateImageMarker(dictionary(), face.marker, MODULES)
        patch = np.where(modules > 127, _PAPER, _INK).astype(np.uint8)
    width, height = (round(_TILE * box.marker_size / edge) for edge in box.face_size(face))
    picture = np.full((_TILE, _TILE), _PAPER, np.uint8)
    left, top = (_TILE - width) // 2, (_TILE - height) // 2
    picture[top : top + height, left : left + width] = cv2.resize(
        patch, (width, height), interpolation=cv2.INTER_NEAREST
    )
    return picture


class MarkedScene:
    """Takes pictures of arms and a marked box, as cameras without distortion would.

    Args:
        box: what stands for the cube.
        cameras: whose places and names the pictures are taken from.
        size: of the pictures [pixels].
        focal: of all cameras [pixels].
        samples: for each pixel.
        patches: what is printed on the faces instead of the markers.
        meshes: whether the arms wear the published meshes; None: if they are installed.
    """

    def __init__(
        self,
        box: MarkedBox,
        cameras: Sequence[CameraModel],
        size: tuple[int, int],
        focal: float,
        *,
        samples: int = 4,
        patches: Sequence[Image] | None = None,
        meshes: bool | None = None,
    ) -> None:
        self.cameras = cameras
        spec, has_meshes = describe_scene(meshes, Box(box.size))
        _dress_cube(spec, box, patches)
        fovy = float(np.degrees(2 * np.arctan(size[1] / 2 / focal)))
        for camera in cameras:
            _add_camera(spec, camera, fovy)
        self.scene: HandoffScene = compile_scene(spec, has_meshes)
        self.model = self.scene.model
        self.model.vis.quality.offsamples = samples
        # A camera on a hand is nearer to things than the table's pictures expect.
        self.model.vis.map.znear = 0.01
        self.data = mujoco.MjData(self.model)
        shadows = TableShadows(self.scene.casters())
        self._eyes = [
            OffscreenCamera(self.model, _EYE + camera.name, size, shadows) for camera in cameras
        ]

    def pose(self, joint_position: Array, gripper_width: Array, box_pose: Array | None) -> None:
        """Put everything in its place.

        Args:
            joint_position: (N, 7) [rad].
            gripper_width: (N,) [m].
            box_pose: (4, 4), in the world; None to have no box.
        """
        place = AWAY if box_pose is None else to_pose(box_pose)
        goal = np.array([0.35, 0.0, 0.0])
        self.scene.pose(self.data, joint_position, gripper_width, place[:3], place[3:], goal)

    def place_camera(self, number: int, pose: Array) -> None:
        """Put a camera that is fixed to the world elsewhere: ``pose`` (4, 4), in the world."""
        place = to_pose(pose @ _FLIPPED)
        camera = self.model.camera(_EYE + self.cameras[number].name).id
        self.model.cam_pos[camera], self.model.cam_quat[camera] = place[:3], place[3:]

    def pictures(self) -> list[Frame]:
        """One a camera, (height, width, 3) RGB."""
        return [eye.picture(self.data) for eye in self._eyes]

    def hands(self) -> Array:
        """The TCPs' poses in the world, (N, 4, 4)."""
        sites = [arm.tcp_site for arm in self.scene.index.arms]
        return np.stack(
            [matrix(self.data.site_xmat[i].reshape(3, 3), self.data.site_xpos[i]) for i in sites]
        )

    def close(self) -> None:
        """Free the graphics memory."""
        for eye in self._eyes:
            eye.close()


def _dress_cube(spec: mujoco.MjSpec, box: MarkedBox, patches: Sequence[Image] | None) -> None:
    atlas = np.concatenate(
        [
            face_picture(box, face, None if patches is None else patches[number])
            for number, face in enumerate(FACES)
        ],
        1,
    )
    texture = spec.add_texture(
        name="markers", type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=atlas.shape[1], height=atlas.shape[0], nchannel=3,
    )  # fmt: skip
    texture.data = np.repeat(atlas[..., None], 3, -1).tobytes()
    textures = [""] * int(mujoco.mjtTextureRole.mjNTEXROLE)
    textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = "markers"
    spec.add_material(name="markers", textures=textures, specular=0.2, shininess=0.3)
    vertices = np.concatenate([box.face_corners(face) for face in FACES])
    first = 4 * np.arange(len(FACES))[:, None]
    triangles = np.concatenate((first + (0, 2, 1), first + (0, 3, 2)), 1).reshape(-1, 3)
    left, right = np.arange(6) / 6, np.arange(1, 7) / 6
    across = np.stack((left, right, right, left), 1).ravel()
    down = np.tile((0.0, 0.0, 1.0, 1.0), 6)
    spec.add_mesh(
        name="markers",
        uservert=vertices.ravel(),
        userface=triangles.ravel(),
        usertexcoord=np.stack((across, down), 1).ravel(),
        userfacetexcoord=triangles.ravel(),
        smoothnormal=False,
    )
    spec.geom("cube").group = 3  # not drawn
    spec.body("cube").add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH, meshname="markers", material="markers",
        contype=0, conaffinity=0, mass=0.0, rgba=(0.5, 0.5, 0.5, 1.0),
    )  # fmt: skip


def _add_camera(spec: mujoco.MjSpec, camera: CameraModel, fovy: float) -> None:
    pose = camera.pose @ _FLIPPED
    if camera.mount == WORLD:
        body = spec.worldbody
    else:
        body = spec.body(f"{camera.mount}/hand")
        site = next(site for site in body.sites if site.name == f"{camera.mount}/tcp")
        pose = matrix(np.eye(3), site.pos) @ pose
    place = to_pose(pose)
    body.add_camera(name=_EYE + camera.name, pos=place[:3], quat=place[3:], fovy=fovy)
