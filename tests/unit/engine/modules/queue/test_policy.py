from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.modules.queue.adapters.base import Policy
from engine.modules.queue.policy import infrastructure_queue, with_queue_config

BASE = Policy(concurrency=7, max_attempts=5, backoff_ms=300)


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        ({"maxRetries": 0}, {"max_attempts": 1}),
        ({"maxRetries": 3}, {"max_attempts": 4}),
        ({"max_retries": 3}, {"max_attempts": 4}),
        ({"concurrency": 2}, {"concurrency": 2}),
        ({"concurrency": 10**9}, {"concurrency": 10_000}),
        ({"type": "fifo"}, {"is_fifo": True, "concurrency": 1}),
        ({"type": "fifo", "concurrency": 4}, {"is_fifo": True, "concurrency": 4}),
        ({"type": "standard"}, {}),
        ({"visibilityTimeout": 30}, {"visibility_timeout_ms": 30_000}),
        ({"visibility_timeout": 0.5}, {"visibility_timeout_ms": 500}),
        ({"delaySeconds": 2}, {"delay_ms": 2_000}),
        ({"backoffType": "fixed"}, {"backoff_type": "fixed"}),
        ({"backoffDelayMs": 50}, {"backoff_ms": 50}),
        ({"subscriptionRetentionMs": 60_000}, {"retention_ms": 60_000}),
    ],
)
def test_each_option_has_its_effect(config: dict[str, Any], changes: dict[str, Any]) -> None:
    found = with_queue_config(BASE, msgspec.json.encode(config))
    assert found == msgspec.structs.replace(BASE, **changes)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"{}",
        b"[1]",
        b'"fifo"',
        b'{"maxRetries": "3", "concurrency": true, "backoffType": "wild", "type": 1}',
        b'{"concurrency": 0, "delaySeconds": -1, "visibilityTimeout": null}',
    ],
)
def test_what_makes_no_sense_is_ignored(text: bytes) -> None:
    assert with_queue_config(BASE, text) == BASE


def test_a_queue_that_is_fifo_anyway_keeps_its_concurrency() -> None:
    base = Policy(is_fifo=True, concurrency=6)
    assert with_queue_config(base, b'{"type": "fifo"}').concurrency == 6


def test_the_first_sdks_hide_the_config_in_metadata() -> None:
    metadata = b'{"infrastructure": {"queue": {"maxRetries": 1}}}'
    assert infrastructure_queue(metadata) == b'{"maxRetries":1}'
    assert infrastructure_queue(b'{"infrastructure": {}}') == b""
    assert infrastructure_queue(b"") == b""
