"""The tasks as gymnasium and PettingZoo environments."""
