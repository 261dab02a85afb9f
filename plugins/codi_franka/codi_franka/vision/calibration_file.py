"""The file that says what the cameras are: lenses, places, when and how well they were measured."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.errors import CodiError
from codi_core.files.durable import to_json, write_durably
from codi_franka.vision.camera_model import MOUNTS, CameraModel, Lens
from codi_franka.vision.poses import from_pose, to_pose

Array = NDArray[np.float64]

FORMAT = 1
OLD = 90
"""Days after which a calibration is worth repeating."""
WORST_PIXELS = 1.5
"""[pixels] A calibration with larger residuals is no calibration."""
AGAIN = "calibrate it with `codi franka-calibrate`"


@attrs.frozen(eq=False)
class Calibrated:
    """How something was measured.

    Attributes:
        date: when, ISO 8601 with time zone.
        error: root mean square of the residuals [pixels].
        pictures: how many.
        position_std: [m], of a camera's place.
        rotation_std: [rad], of its direction.
        pixels_std: [pixels], of where it sees what is a metre away.
    """

    date: str
    error: float
    pictures: int
    position_std: float = 0.0
    rotation_std: float = 0.0
    pixels_std: float = 0.0

    @classmethod
    def now(cls, error: float, pictures: int, *stds: float) -> Calibrated:
        """Measured at this moment."""
        return cls(datetime.now(UTC).isoformat(timespec="seconds"), error, pictures, *stds)

    @property
    def days(self) -> float:
        """Its age."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.date)).total_seconds() / 86400


@attrs.frozen(eq=False)
class CameraEntry:
    """A camera in the file.

    Attributes:
        name: of the camera.
        lens: the intrinsics.
        lens_measured: how they were measured.
        mount: ``world`` or an arm; None while its place is unknown.
        pose: (4, 4), to the mount's frame; None likewise.
        place_measured: how its place was measured; None likewise.
    """

    name: str
    lens: Lens
    lens_measured: Calibrated
    mount: str | None = None
    pose: Array | None = None
    place_measured: Calibrated | None = None

    def model(self) -> CameraModel:
        """The camera for tracking.

        Raises:
            CodiError: its place is unknown.
        """
        if self.mount is None or self.pose is None or self.place_measured is None:
            raise CodiError(
                f"where camera '{self.name}' is, is unknown: run `codi franka-calibrate place`"
            )
        known = self.place_measured
        stds = known.position_std, known.rotation_std, known.pixels_std
        return CameraModel(self.name, self.lens, self.mount, self.pose, *stds)


def read_entries(path: Path) -> dict[str, CameraEntry]:
    """The cameras in a file; none if there is no file.

    Raises:
        CodiError: it isn't what :func:`write_entries` writes; the message names the field.
    """
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text())
        if document["format"] != FORMAT:
            raise ValueError(f"format is {document['format']!r}, not {FORMAT}")
        return {name: _entry(name, fields) for name, fields in document["cameras"].items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise CodiError(f"'{path}' is no calibration: {error}; {AGAIN}") from error
    except KeyError as error:
        raise CodiError(f"'{path}' is no calibration: it lacks {error}; {AGAIN}") from error


def write_entries(path: Path, entries: dict[str, CameraEntry]) -> None:
    """Write all cameras; a crash leaves the old file or the new one."""
    cameras = {name: _fields(entry) for name, entry in sorted(entries.items())}
    write_durably(path, to_json({"format": FORMAT, "cameras": cameras}))


def load_cameras(path: Path) -> list[CameraModel]:
    """The calibrated cameras of a file, for tracking; warns of an old calibration.

    Raises:
        CodiError: there is none, or it is damaged, or a camera's place is unknown.
    """
    entries = read_entries(path)
    if not entries:
        raise CodiError(f"'{path}' names no cameras; {AGAIN}")
    models = [entry.model() for entry in entries.values()]
    for complaint in complaints(entries):
        warnings.warn(complaint, stacklevel=2)
    return models


def complaints(entries: dict[str, CameraEntry]) -> list[str]:
    """What is wrong with calibrations that can be used nevertheless."""
    found = []
    for entry in entries.values():
        for what, measured in (("lens", entry.lens_measured), ("place", entry.place_measured)):
            if measured is None:
                continue
            if measured.days > OLD:
                found.append(
                    f"the {what} of camera '{entry.name}' was calibrated {measured.days:.0f} days "
                    f"ago; {AGAIN} {what}"
                )
    return found


def _fields(entry: CameraEntry) -> dict[str, Any]:
    lens = {
        "size": entry.lens.size,
        "matrix": entry.lens.matrix,
        "distortion": entry.lens.distortion,
        "spread": entry.lens.spread,
        **attrs.asdict(entry.lens_measured, filter=lambda field, _: "std" not in field.name),
    }
    if entry.pose is None or entry.place_measured is None:
        return {"lens": lens}
    pose = to_pose(entry.pose)
    place = {
        "mount": entry.mount,
        "position": pose[:3],
        "quaternion_wxyz": pose[3:],
        **attrs.asdict(entry.place_measured),
    }
    return {"lens": lens, "place": place}


def _entry(name: str, fields: dict[str, Any]) -> CameraEntry:
    lens = fields["lens"]
    matrix = _numbers(lens, "matrix", (3, 3), name)
    size = _numbers(lens, "size", (2,), name)
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or (size < 1).any():
        raise ValueError(f"camera '{name}' has a focal length or size that is not positive")
    optics = Lens(
        (int(size[0]), int(size[1])),
        matrix,
        _numbers(lens, "distortion", (5,), name),
        _numbers({"spread": [0.0] * 3, **lens}, "spread", (3,), name),
    )
    entry = CameraEntry(name, optics, _measured(lens, name))
    if "place" not in fields:
        return entry
    place = fields["place"]
    if place["mount"] not in MOUNTS:
        raise ValueError(f"camera '{name}' is on '{place['mount']}', not one of {list(MOUNTS)}")
    quaternion = _numbers(place, "quaternion_wxyz", (4,), name)
    if abs(float(np.linalg.norm(quaternion)) - 1) > 1e-3:
        raise ValueError(f"quaternion_wxyz of camera '{name}' is not of unit length")
    pose = from_pose(np.concatenate((_numbers(place, "position", (3,), name), quaternion)))
    return attrs.evolve(
        entry, mount=place["mount"], pose=pose, place_measured=_measured(place, name)
    )


def _measured(fields: dict[str, Any], name: str) -> Calibrated:
    measured = Calibrated(
        str(fields["date"]),
        float(fields["error"]),
        int(fields["pictures"]),
        float(fields.get("position_std", 0.0)),
        float(fields.get("rotation_std", 0.0)),
        float(fields.get("pixels_std", 0.0)),
    )
    if datetime.fromisoformat(measured.date).tzinfo is None:
        raise ValueError(f"the date of camera '{name}' has no time zone")
    if not 0 <= measured.error <= WORST_PIXELS:
        raise ValueError(
            f"camera '{name}' was calibrated with an error of {measured.error:g} pixels, more than "
            f"{WORST_PIXELS:g}"
        )
    return measured


def _numbers(fields: dict[str, Any], key: str, shape: tuple[int, ...], name: str) -> Array:
    values = np.array(fields[key], float)
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(f"{key} of camera '{name}' must be {shape} finite numbers")
    return values
