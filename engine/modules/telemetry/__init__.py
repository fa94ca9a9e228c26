"""The telemetry module: accepted in configs, sends nothing."""
