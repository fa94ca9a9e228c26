"""Which transport of ours Celery takes for which URL; none is loaded before it is used."""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES

from engine.background.broker import MEMORY_SCHEME


def register() -> None:
    """Let Celery find them."""
    TRANSPORT_ALIASES[MEMORY_SCHEME] = "engine.background.memory_transport:Transport"
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "engine.background.redis_transport:Transport"
