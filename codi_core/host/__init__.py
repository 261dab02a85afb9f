"""The plugin host: hook specifications, plugin loading, registries. Light: it never needs torch."""
