"""The secret by which the engine knows the Celery processes of its own deployment."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

TOKEN_HEADER: Final = "x-iii-internal-token"
"""The header of the handshake that carries the token."""

_PURPOSE: Final = b"iii: calls by the engine's own processes"


def internal_token(secret_key: str) -> str:
    """Return the token of a deployment: all its processes have one SECRET_KEY."""
    return hmac.new(secret_key.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def is_internal_token(offered: bytes, secret_key: str) -> bool:
    """Tell whether a token is the deployment's, in a time that says nothing of how wrong it is."""
    return hmac.compare_digest(offered, internal_token(secret_key).encode())
