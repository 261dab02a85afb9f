"""How far calibrations of simulated cameras are off, and what they say of that themselves.

    python benchmarks/calibrations.py --count 8

Each camera is calibrated anew from corners of a board that are reckoned, with noise, as many as
`docs/hardware/cameras.md` asks for, by what `codi franka-calibrate` fits with.
"""

from __future__ import annotations

import argparse

import attrs
import numpy as np
from reporting import options, save, table

from codi_franka.vision.camera_model import CameraModel
from codi_franka.vision.measuring.calibrating import CalibrationError, calibrated
from codi_franka.vision.measuring.situations import FIXED_CAMERAS, WRIST_CAMERAS

CAMERAS = {"fixed": FIXED_CAMERAS, "on hands": WRIST_CAMERAS}


def measure(cameras: tuple[CameraModel, ...], given: argparse.Namespace) -> dict[str, float]:
    """Root mean squares of what calibrations are off by, and of what they claim."""
    errors = [
        attrs.astuple(
            CalibrationError.of(
                calibrated(camera, np.random.default_rng((given.seed, number, which))), camera
            )
        )
        for number in range(given.count)
        for which, camera in enumerate(cameras)
    ]
    names = [field.name for field in attrs.fields(CalibrationError)]
    means = np.sqrt(np.square(errors).mean(0))
    return {name: float(mean) for name, mean in zip(names, means, strict=True)}


def main() -> None:
    """Calibrate and report."""
    parser = options(__doc__)
    parser.add_argument("--count", type=int, default=8, help="calibrations of each camera")
    given = parser.parse_args()
    found = {name: measure(cameras, given) for name, cameras in CAMERAS.items()}
    rows = [
        (name, *(means[key] for key in ("millimetres", "claimed_mm", "degrees", "claimed_degrees",
                                        "pixels", "claimed_pixels")))
        for name, means in found.items()
    ]  # fmt: skip
    columns = ("cameras", "place [mm]", "claimed", "direction [deg]", "claimed",
               "points at 1 m [px]", "claimed")  # fmt: skip
    table(f"{given.count} calibrations of each camera: root mean squares", columns, rows)
    save(given.json, found)


if __name__ == "__main__":
    main()
