"""Tables of runs in closed loop, from a file of rows or from another job's."""
