"""Pictures of the handoff task: video frames, paths from above, film strips and reach."""
