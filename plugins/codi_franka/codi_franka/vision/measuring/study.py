"""Takes pictures, tracks the box in them, and compares with where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import attrs
import cv2
import numpy as np

from codi_franka.vision.camera_model import CameraModel
from codi_franka.vision.detection import Image, MarkerDetector, dictionary
from codi_franka.vision.fit import Fit, Refusal
from codi_franka.vision.locate import Locator
from codi_franka.vision.markers import CUBE, MODULES, MarkedBox
from codi_franka.vision.measuring.looks import WIDER, Bend, Darkroom, Look
from codi_franka.vision.measuring.marked_scene import MarkedScene
from codi_franka.vision.measuring.situations import SIZE, Situation, looking, on_the_table
from codi_franka.vision.poses import Array, difference, inverse, moved

Draw = Callable[[np.random.Generator, MarkedBox], Situation]

EXPECTED_STD = np.array([0.005] * 3 + [0.05] * 3)
"""[m], [rad] How well the tracker knows beforehand where the box is."""


@attrs.frozen
class Outcome:
    """What came of one moment.

    Attributes:
        away: distance between the measured and the true place [m]; NaN without a pose.
        turned: angle between them [rad].
        spread: what the fit claimed about its place, one standard deviation of the distance [m].
        cameras: how many of them contributed.
        markers: how many markers.
        seconds: of a processor's time that the tracking took, all pictures together.
        refusal: why there is no pose.
        step: (6,) the error, world frame [m], [rad].
    """

    away: float
    turned: float
    spread: float
    cameras: int
    markers: int
    seconds: float
    refusal: str | None
    step: tuple[float, ...] | None

    @classmethod
    def of(cls, found: Fit | Refusal, truth: Array, seconds: float) -> Outcome:
        """Compare what was found with the true pose (4, 4)."""
        if isinstance(found, Refusal):
            return cls(np.nan, np.nan, np.nan, 0, 0, seconds, found.value, None)
        step = difference(found.pose, truth)
        return cls(
            float(np.linalg.norm(step[:3])),
            float(np.linalg.norm(step[3:])),
            float(np.sqrt(np.trace(found.covariance[:3, :3]))),
            found.cameras,
            found.markers,
            seconds,
            None,
            tuple(step.tolist()),
        )


class Studio:
    """Pictures of situations from some cameras, with looks.

    Args:
        cameras: with one lens.
        box: what is tracked.
        random: where chance comes from.
        samples: for each pixel.
        patches: printed on the box instead of its markers, grey.
    """

    def __init__(
        self,
        cameras: Sequence[CameraModel],
        box: MarkedBox,
        random: np.random.Generator,
        samples: int = 4,
        patches: Sequence[Image] | None = None,
    ) -> None:
        self.cameras, self.box = cameras, box
        focal = cameras[0].lens.focal * WIDER
        self.scene = MarkedScene(box, cameras, SIZE, focal, samples=samples, patches=patches)
        self._bend = Bend(cameras[0].lens, focal)
        self._darkroom = Darkroom(random)

    def take(self, situation: Situation, look: Look) -> list[Image]:
        """A grey picture (height, width) from each camera."""
        self.scene.pose(situation.joints, situation.widths, situation.box)
        covers = [self._cover(camera, situation.box) for camera in self.cameras]
        return [
            self._darkroom.develop(
                self._bend(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)), look, cover
            )
            for picture, cover in zip(self.scene.pictures(), covers, strict=True)
        ]

    def develop(self, situation: Situation, looks: Sequence[Look], times: int) -> Iterator[Image]:
        """The first camera's picture ``times`` times, with looks in turn and other chances."""
        self.scene.pose(situation.joints, situation.widths, situation.box)
        rendered = self._bend(cv2.cvtColor(self.scene.pictures()[0], cv2.COLOR_RGB2GRAY))
        for number in range(times):
            yield self._darkroom.develop(rendered, looks[number % len(looks)])

    def close(self) -> None:
        """Free the graphics memory."""
        self.scene.close()

    def _cover(self, camera: CameraModel, pose: Array | None) -> Array | None:
        """Where the box is in the picture, (n, 2); None if it isn't in front."""
        if pose is None:
            return None
        to_camera = inverse(camera.in_world(self.scene.hands())) @ pose
        points = self.box.corners().reshape(-1, 3) @ to_camera[:3, :3].T + to_camera[:3, 3]
        return camera.lens.project(points) if points[:, 2].min() > 0.03 else None


def measure(
    studio: Studio,
    draw: Draw,
    look: Look,
    count: int,
    random: np.random.Generator,
    calibrated: Sequence[CameraModel] | None = None,
) -> list[Outcome]:
    """Track the box in ``count`` moments.

    Args:
        studio: takes the pictures.
        draw: situations.
        look: how hard pictures are to read.
        count: of the moments.
        random: where chance comes from.
        calibrated: what the tracker takes for the cameras; None for the true ones.
    """
    locator = Locator(studio.box)
    outcomes = []
    for _ in range(count):
        situation = draw(random, studio.box)
        assert situation.box is not None
        pictures = studio.take(situation, look)
        expected = moved(situation.box, EXPECTED_STD * random.standard_normal(6))
        hands = studio.scene.hands()
        models = studio.cameras if calibrated is None else calibrated
        views = [
            (camera, camera.in_world(hands), picture)
            for camera, picture in zip(models, pictures, strict=True)
        ]
        begun = time.process_time()
        found = locator.locate(views, expected)
        outcomes.append(Outcome.of(found, situation.box, time.process_time() - begun))
    return outcomes


def foreign_patches() -> list[Image]:
    """What could be mistaken for the box's markers: others of the same dictionary, and patterns."""
    others = [
        cv2.aruco.generateImageMarker(dictionary(), number, MODULES) for number in (7, 23, 49)
    ]
    chess = np.indices((MODULES, MODULES)).sum(0) % 2 * 255
    rings = np.full((MODULES, MODULES), 255)
    rings[1:-1, 1:-1] = 0
    rings[2:-2, 2:-2] = 255
    black = np.zeros((MODULES, MODULES))
    return [np.asarray(picture, np.uint8) for picture in (*others, chess, rings, black)]


DEVELOPED = 10
"""How often a rendered picture without markers is developed, each time with other chances."""


def count_false(
    camera: CameraModel,
    looks: Sequence[Look],
    count: int,
    random: np.random.Generator,
    progress: Callable[[dict[str, int]], None] = lambda tally: None,
) -> dict[str, int]:
    """Look for the box in pictures without its markers.

    A rendered picture is developed ten times; each is rendered from another place. Half of them
    show a box with other patterns on it.

    Args:
        camera: whose lens is used.
        looks: in turn.
        count: of pictures.
        random: where chance comes from.
        progress: told the tally after each rendered picture.

    Returns:
        How many ``pictures`` there were, in how many a ``marker`` of the box was seen, and a
        ``pose`` found.
    """
    studio = Studio([camera], CUBE, random, samples=0, patches=foreign_patches())
    detector, locator = MarkerDetector(), Locator(CUBE)
    tally = {"pictures": 0, "marker": 0, "pose": 0}
    while tally["pictures"] < count:
        situation = on_the_table(random, CUBE)
        if random.random() < 0.5:
            situation = attrs.evolve(situation, box=None)
        place = _roam(studio.scene, random)
        fewer = min(DEVELOPED, count - tally["pictures"])
        for picture in studio.develop(situation, looks, fewer):
            tally["pictures"] += 1
            if len(detector.find(picture).markers):  # else there is no pose
                tally["marker"] += 1
                tally["pose"] += isinstance(locator.locate([(camera, place, picture)]), Fit)
        progress(tally)
    studio.close()
    return tally


def _roam(scene: MarkedScene, random: np.random.Generator) -> Array:
    """Put the scene's first camera somewhere around the table; returns its pose (4, 4)."""
    angle, distance = random.uniform(0, 2 * np.pi), random.uniform(0.7, 1.9)
    spot = (distance * np.cos(angle), distance * np.sin(angle), random.uniform(0.2, 1.3))
    target = (*random.uniform(-0.5, 0.5, 2), random.uniform(0.0, 0.3))
    pose = looking(spot, target)
    scene.place_camera(0, pose)
    return pose
