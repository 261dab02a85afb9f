"""Pictures: the top view, paths, and the space-time plot of a passage."""
