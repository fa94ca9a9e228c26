"""The engine's modules: which there are, built in and installed beside the engine."""
