"""What is written: files that survive a crash, and folders that say what they hold."""
