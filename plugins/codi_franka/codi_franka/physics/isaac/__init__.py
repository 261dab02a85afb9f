"""Isaac Gym, which lives in an interpreter of its own."""
