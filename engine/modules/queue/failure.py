"""What becomes of a delivery whose attempt has failed: when it is repeated, or that it is not.

A handler may say so itself. SDKs put what a handler raises into the message of an error with the
code `invocation_failed`, so both are read: `non_retryable` as the code, or at the beginning of
the message (`non_retryable: no such customer`); `retry_after_ms` with a number likewise
(`retry_after_ms: 5000`), or `retry_after_ms:5000` as the code; or a message that is a JSON object
with one of these members: `{"retry_after_ms": 5000}`, `{"code": "non_retryable"}`.
"""

from __future__ import annotations

import random
import re
from typing import Any, Final

import msgspec

from engine.core import protocol
from engine.modules.queue.adapters.base import ERROR_LIMIT, Delivery, Failed, Policy
from engine.modules.queue.policy import MAX_TIME_MS

MAX_DOUBLINGS: Final = 30
"""Of the wait between attempts: a doubling each, until no clock could tell the difference."""

JITTER: Final = 0.1
"""How much later than asked for a retry comes at most, as a share of its wait."""

NON_RETRYABLE: Final = "non_retryable"

# An SDK may put the name of the exception's class before its text, that of Rust `handler error`.
_SAID = re.compile(
    r"\s*(?:[\w.]+(?: error)?:\s*)?"
    r"(?:(?P<never>non_retryable)\b|retry_after(?:_ms)?\s*[:=]?\s*(?P<wait>\d+))"
)
_MOST_DIGITS: Final = 15


def failed(delivery: Delivery, error: bytes, policy: Policy, now_ms: int) -> Failed:
    """Return the outcome of an attempt that ended with an error.

    Args:
        delivery: what was attempted.
        error: the error body, JSON text.
        policy: how often and when attempts are repeated.
        now_ms: the present, Unix milliseconds.
    """
    body = protocol.decode_error(error)
    wait_ms = _wait_ms(delivery, body, policy)
    text = f"{body.code}: {body.message}"[:ERROR_LIMIT].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return Failed(
        id=delivery.id,
        attempt=delivery.attempt,
        error=text,
        at_ms=now_ms,
        retry_at_ms=None if wait_ms is None else now_ms + wait_ms,
    )


def _wait_ms(delivery: Delivery, body: protocol.ErrorBody, policy: Policy) -> int | None:
    """Return how long to wait for the next attempt; None if there is none."""
    asked = said_by_handler(body)
    if asked == NON_RETRYABLE or delivery.attempt >= policy.max_attempts:
        return None
    if isinstance(asked, int):
        return asked
    wait_ms = policy.backoff_ms
    if policy.backoff_type == "exponential":
        wait_ms <<= min(delivery.attempt - 1, MAX_DOUBLINGS)
    wait_ms = min(wait_ms, MAX_TIME_MS)
    return wait_ms + int(wait_ms * JITTER * random.random())


def said_by_handler(body: protocol.ErrorBody) -> str | int | None:
    """Return what an error asks for: `non_retryable`, a wait in milliseconds, or None."""
    for text in (body.code, body.message, f"{body.code}: {body.message}"):
        said = _SAID.match(text)
        if said is None:
            continue
        if said["never"]:
            return NON_RETRYABLE
        return min(int(said["wait"][:_MOST_DIGITS]), MAX_TIME_MS)
    return _said_in_json(body.message)


def _said_in_json(message: str) -> str | int | None:
    start = message.find("{")
    if start < 0 or "ret" not in message:
        return None
    try:
        members: Any = msgspec.json.decode(message[start:])
    except msgspec.DecodeError:
        return None
    if not isinstance(members, dict):
        return None
    if members.get("code") == NON_RETRYABLE or members.get(NON_RETRYABLE) is True:
        return NON_RETRYABLE
    data = members.get("data")
    for each in (members, data if isinstance(data, dict) else {}):
        wait_ms = each.get("retry_after_ms")
        if isinstance(wait_ms, (int, float)) and not isinstance(wait_ms, bool) and wait_ms >= 0:
            return int(min(wait_ms, MAX_TIME_MS))
    return None
