"""What commands are written with, a plugin's own ones as well: options, errors, tasks."""
