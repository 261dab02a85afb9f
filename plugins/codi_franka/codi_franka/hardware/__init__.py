"""Two real FR3 arms: what is read, the motion that is sent, the safety of both, and the driver."""
