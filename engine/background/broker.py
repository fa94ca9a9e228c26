"""Where tasks travel: the broker of the environment, else the queues of this process.

Knows neither Django's settings, which are made from it, nor Celery, which takes long to load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MEMORY_SCHEME: Final = "iii-memory"
MEMORY_URL: Final = f"{MEMORY_SCHEME}://localhost"
"""The transport of `engine.background.memory_transport`."""

QUEUE: Final = "iii"
"""The Celery queue of the engine: Celery workers of other projects on the broker have their own."""

REDIS_SCHEMES: Final = ("redis://", "rediss://", "sentinel://")

REDIS_OPTIONS: Final[Mapping[str, Any]] = {
    "socket_connect_timeout": 5.0,
    # Longer than a consumer's own blocking read; without it a broker that is cut off is never
    # noticed.
    "socket_timeout": 10.0,
    "socket_keepalive": True,
}


def broker_url(environ: Mapping[str, str]) -> str:
    """Return CELERY_BROKER_URL, which Celery itself prefers, else REDIS_URL, else our own."""
    named = (environ.get(name, "").strip() for name in ("CELERY_BROKER_URL", "REDIS_URL"))
    return next(filter(None, named), MEMORY_URL)


def transport_options(url: str) -> dict[str, Any]:
    """Return the timeouts of connections to a broker."""
    return dict(REDIS_OPTIONS) if url.startswith(REDIS_SCHEMES) else {}


def is_embedded(url: str) -> bool:
    """Tell whether tasks stay in this process, which has to execute them then."""
    return url.startswith(f"{MEMORY_SCHEME}://")


def require_broker(url: str, program: str) -> None:
    """End a Celery program that nobody could send anything.

    Raises:
        SystemExit: tasks of this URL stay in the process of the engine.
    """
    if is_embedded(url):
        raise SystemExit(
            f"celery {program}: no broker is set, so nobody could send it anything: set REDIS_URL, "
            "for this process and for the engine. Without one the engine needs no Celery process"
        )
