"""What stands between any planner and the arms: checks of what is about to be sent."""
