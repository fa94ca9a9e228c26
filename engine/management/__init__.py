"""Commands of the engine app."""
