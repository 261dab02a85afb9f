"""Physics of the arms, the table and the cube."""
