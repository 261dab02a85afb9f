"""``codi franka-check``, ``codi franka-home`` and ``codi franka-recover``."""
