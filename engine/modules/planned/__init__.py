"""Modules that configs may name already and that this engine does not have yet.

Each knows its class paths, adapters and documented options, accepts options that it does not know,
and says at start that it is not built.
"""
