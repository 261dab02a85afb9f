"""Pictures from MuJoCo without a screen, through whichever OpenGL is there.

MuJoCo picks its OpenGL from ``MUJOCO_GL`` when it is imported, and without that variable it wants
a screen. Here the choice is made when the first picture is due, so that headless machines work
without settings.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from codi_core.errors import CodiError

Frame = NDArray[np.uint8]

_PACKAGES = {"egl": "libegl1 libgl1-mesa-dri", "osmesa": "libosmesa6"}
_PLATFORM = "PYOPENGL_PLATFORM"


def _candidates() -> tuple[str, ...]:
    asked = os.environ.get("MUJOCO_GL", "").lower().strip()
    if asked and asked not in ("enable", "enabled", "on", "true", "1"):
        return (asked,)
    if sys.platform == "linux":
        return ("egl", "osmesa")
    return ("cgl",) if sys.platform == "darwin" else ("glfw",)  # type: ignore[unreachable]


def open_context(width: int, height: int) -> Any:
    """An OpenGL context for off-screen pictures of up to that size, made current.

    ``MUJOCO_GL`` decides which OpenGL; without it EGL is tried first, then OSMesa.

    Raises:
        CodiError: none works; the message says what to install and to set.
    """
    reasons = []
    for backend in _candidates():
        modules, platform = set(sys.modules), os.environ.get(_PLATFORM)
        try:
            context = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
            context.make_current()
            return context
        except Exception as error:  # each backend fails in its own way
            reasons.append(f"{backend}: {type(error).__name__}: {error}")
            _undo_import(modules, platform)
    raise CodiError(_advice(reasons))


def _undo_import(modules: set[str], platform: str | None) -> None:
    """PyOpenGL binds to one platform when it is first imported; let the next backend choose."""
    for name in set(sys.modules) - modules:
        if name.split(".")[0] in ("OpenGL", "mujoco"):
            del sys.modules[name]
    os.environ.pop(_PLATFORM, None)
    if platform is not None:
        os.environ[_PLATFORM] = platform


def _advice(reasons: list[str]) -> str:
    packages = " or ".join(
        f"MUJOCO_GL={backend} (Debian, Ubuntu: apt-get install {names})"
        for backend, names in _PACKAGES.items()
    )
    return (
        "no OpenGL for off-screen pictures. Without a screen set "
        f"{packages}, or go without pictures. Tried " + "; ".join(reasons)
    )


class OffscreenCamera:
    """Takes pictures of one model through one of its cameras.

    The thread that takes the first picture must take all of them.

    Args:
        model: compiled.
        camera: the camera's name.
        size: width and height [pixels].
        decorate: adds shapes to a scene that is about to be drawn.

    Raises:
        CodiError: no OpenGL works here.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        camera: str,
        size: tuple[int, int],
        decorate: Callable[[mujoco.MjvScene], None] | None = None,
    ) -> None:
        self.size = size
        self._decorate = decorate
        self._model = model
        self._gl = open_context(*size)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=2 * model.ngeom + 16)
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = model.camera(camera).id
        # The backend shuts down when Python exits. What is registered last runs first.
        self._close = weakref.finalize(self, _free, self._gl, self._context)
        self._close.atexit = False
        atexit.register(self._close)

    def picture(self, data: mujoco.MjData) -> Frame:
        """(height, width, 3) of the present kinematics; a new array each time."""
        width, height = self.size
        rectangle = mujoco.MjrRect(0, 0, width, height)
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._camera,
            mujoco.mjtCatBit.mjCAT_ALL, self._scene,
        )  # fmt: skip
        if self._decorate is not None:
            self._decorate(self._scene)
        mujoco.mjr_render(rectangle, self._scene, self._context)
        pixels = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, rectangle, self._context)
        return np.ascontiguousarray(pixels[::-1])

    def close(self) -> None:
        """Free the graphics memory; taking pictures is over then."""
        self._close()


def _free(gl: Any, context: mujoco.MjrContext) -> None:
    gl.make_current()
    context.free()
    gl.free()
