"""The two arms and hands over the network."""
