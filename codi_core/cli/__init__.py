"""The command line: codi-run, codi-collect, codi-plugins, and codi for all commands."""
