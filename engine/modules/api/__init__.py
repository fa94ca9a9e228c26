"""The HTTP module: functions served as routes on port 3111."""
