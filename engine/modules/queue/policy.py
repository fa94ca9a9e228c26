"""How the config of a trigger, of a named queue or of an adapter becomes a delivery policy."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.core.protocol import NULL
from engine.modules.queue.adapters.base import Policy

MAX_CONCURRENCY: Final = 10_000
"""Deliveries of one subscription at once: each is a call that waits for its worker."""

MAX_ATTEMPTS: Final = 1_000_000
MAX_TIME_MS: Final = 10 * 365 * 24 * 3_600_000
"""The longest delay, timeout or retention: ten years."""

_NUMBERS: Final = (
    ("maxRetries", "max_retries"),
    ("concurrency", "concurrency"),
    ("visibilityTimeout", "visibility_timeout"),
    ("delaySeconds", "delay_seconds"),
    ("backoffDelayMs", "backoff_delay_ms"),
    ("subscriptionRetentionMs", "subscription_retention_ms"),
)
"""The numbers of a `queue_config`, as SDKs write them and in the style of the rest."""


def with_queue_config(base: Policy, text: bytes) -> Policy:
    """Return the policy of a trigger.

    Args:
        base: what holds for all that is not said.
        text: its `queue_config` as JSON: `{type, maxRetries, concurrency, visibilityTimeout,
            delaySeconds, backoffType, backoffDelayMs, subscriptionRetentionMs}`, each optional
            and also in snake_case. `maxRetries` are further attempts after the first;
            `visibilityTimeout` and `delaySeconds` are seconds. What has a wrong type is ignored,
            and so is anything that is no object.
    """
    options = _members(text)
    numbers = {snake: _number(options, camel, snake) for camel, snake in _NUMBERS}
    changes: dict[str, Any] = {}
    if isinstance(options.get("type"), str):
        changes["is_fifo"] = options["type"].lower() == "fifo"
    retries, concurrency = numbers["max_retries"], numbers["concurrency"]
    if retries is not None:
        changes["max_attempts"] = min(int(retries) + 1, MAX_ATTEMPTS)
    if concurrency is not None and concurrency >= 1:
        changes["concurrency"] = min(int(concurrency), MAX_CONCURRENCY)
    elif changes.get("is_fifo", False) and not base.is_fifo:
        changes["concurrency"] = 1
    backoff_type = options.get("backoffType", options.get("backoff_type"))
    if backoff_type in {"exponential", "fixed"}:
        changes["backoff_type"] = backoff_type
    for name, value, factor in (
        ("visibility_timeout_ms", numbers["visibility_timeout"], 1_000),
        ("delay_ms", numbers["delay_seconds"], 1_000),
        ("backoff_ms", numbers["backoff_delay_ms"], 1),
        ("retention_ms", numbers["subscription_retention_ms"], 1),
    ):
        if value is not None:
            changes[name] = min(int(value * factor), MAX_TIME_MS)
    return msgspec.structs.replace(base, **changes) if changes else base


def infrastructure_queue(metadata: bytes) -> bytes:
    """Return `infrastructure.queue` of a metadata object: where the first SDKs put it.

    Empty if there is none.
    """
    infrastructure = _members(metadata).get("infrastructure")
    found = infrastructure.get("queue") if isinstance(infrastructure, dict) else None
    return msgspec.json.encode(found) if isinstance(found, dict) else b""


def _members(text: bytes) -> dict[str, Any]:
    if not text or text == NULL:
        return {}
    value = msgspec.json.decode(text)
    return value if isinstance(value, dict) else {}


def _number(options: dict[str, Any], camel: str, snake: str) -> float | None:
    """Return a number that is not negative; None for anything else."""
    value = options.get(camel, options.get(snake))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if value >= 0 else None
