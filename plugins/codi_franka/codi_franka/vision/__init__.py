"""Where the cube is, from pictures: markers, cameras, calibration and the filter over time."""
