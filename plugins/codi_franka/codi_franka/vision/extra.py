"""What tracking needs that a mere ``codi-franka`` doesn't bring."""

from __future__ import annotations

from importlib.util import find_spec

from codi_core.errors import PluginError

_NEEDED = ("cv2", "matplotlib", "scipy")


def require_vision() -> None:
    """See that what cameras need is installed, without importing it.

    Raises:
        PluginError: it isn't; the message says how to install it.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise PluginError(
            f"seeing the cube needs {' and '.join(missing)}, which is not installed: "
            "pip install 'codi-franka[vision]'"
        )
