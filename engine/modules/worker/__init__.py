"""The worker module: the port that workers connect to and the engine's own functions."""
