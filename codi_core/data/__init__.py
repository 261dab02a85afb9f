"""Demonstrations on disk, in the LeRobotDataset v3.0 layout, and windows over them."""

from codi_core.errors import MissingExtraError

try:
    import pandas as pd  # noqa: F401
    import pyarrow as pa  # noqa: F401
except ImportError as error:
    raise MissingExtraError("demonstrations", "data") from error

from codi_core.data.dataset import DemonstrationDataset
from codi_core.data.layout import FeatureSpec
from codi_core.data.windows import Segments, segments, split_episodes
from codi_core.data.writer import DatasetWriter

__all__ = [
    "DatasetWriter",
    "DemonstrationDataset",
    "FeatureSpec",
    "Segments",
    "segments",
    "split_episodes",
]
