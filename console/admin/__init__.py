"""The admins of what has a table, one file for each; Django finds them by importing this."""

from __future__ import annotations

from console.admin import accounts, kv, queues, state, streams, triggers

__all__ = ["accounts", "kv", "queues", "state", "streams", "triggers"]
