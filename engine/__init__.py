"""The iii engine: workers connect, register functions and triggers and call each other."""

__version__ = "0.1.0"
