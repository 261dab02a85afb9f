"""The commands codi-run, codi-collect, codi-train, codi-bench, codi-plugins, and codi for all."""
