"""``codi-bench hardware``: long runs and faults against simulated arms that speak the protocol."""
