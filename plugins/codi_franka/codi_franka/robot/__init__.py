"""The Franka Research 3 arm: numbers, kinematics, controller and physics model."""
