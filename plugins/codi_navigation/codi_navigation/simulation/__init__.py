"""The true worlds: disks that drive, touch and stop."""
