"""The command that trains baselines."""
