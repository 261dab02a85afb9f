"""The colours that all pictures of the task share, as RGB in [0, 1]."""

RGB = tuple[float, float, float]

CUBE: RGB = (0.93, 0.36, 0.13)
GOAL: RGB = (0.13, 0.62, 0.35)
ARMS: dict[str, RGB] = {"left": (0.16, 0.42, 0.78), "right": (0.55, 0.27, 0.68)}
TABLE: RGB = (0.80, 0.70, 0.58)
TABLE_EDGE: RGB = (0.45, 0.33, 0.23)
LEGS: RGB = (0.25, 0.26, 0.28)
FLOOR: tuple[RGB, RGB] = ((0.58, 0.60, 0.63), (0.54, 0.56, 0.59))
FLOOR_LINES: RGB = (0.50, 0.52, 0.55)
SKY: tuple[RGB, RGB] = ((0.87, 0.91, 0.95), (0.42, 0.52, 0.64))
"""At the horizon and overhead."""
