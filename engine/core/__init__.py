"""The engine without Django: protocol, registries, invocation router, modules and configuration."""
