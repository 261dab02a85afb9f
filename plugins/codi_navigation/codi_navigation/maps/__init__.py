"""Maps of obstacles in the plane: distances, rays, and what makes a map bad."""
