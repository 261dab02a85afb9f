"""From actions to joint velocities that an FR3 may be sent: limits, shaping and the stream."""
