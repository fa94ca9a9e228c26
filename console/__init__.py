"""The console: the Django admin of the engine."""
