"""The task ``franka-handoff``: two arms bring a cube to where one of them cannot reach."""
