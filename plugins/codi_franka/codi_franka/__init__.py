"""The Franka two-arm task for CoDi."""
