"""How well the tracking works, measured on rendered pictures of the scene."""
