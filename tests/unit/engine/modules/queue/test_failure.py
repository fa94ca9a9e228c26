from __future__ import annotations

import pytest

from engine.core.protocol import ErrorBody, encode_error
from engine.modules.queue.adapters.base import Delivery, Policy
from engine.modules.queue.failure import NON_RETRYABLE, failed, said_by_handler

NOW = 1_000_000


def delivery(attempt: int) -> Delivery:
    return Delivery(1, "m", "f", b"1", b"", "", attempt, NOW, None)


def wait_ms(attempt: int, policy: Policy, message: str = "broken") -> int | None:
    retry_at = failed(delivery(attempt), encode_error("oops", message), policy, NOW).retry_at_ms
    return None if retry_at is None else retry_at - NOW


@pytest.mark.parametrize(("attempt", "base"), [(1, 1_000), (2, 2_000), (3, 4_000), (5, 16_000)])
def test_the_wait_doubles_and_is_up_to_a_tenth_longer(attempt: int, base: int) -> None:
    waits = [wait_ms(attempt, Policy(max_attempts=9)) for _ in range(200)]
    assert all(wait is not None and base <= wait <= base * 1.1 for wait in waits)
    assert len(set(waits)) > 10


def test_a_fixed_wait_stays() -> None:
    policy = Policy(max_attempts=9, backoff_ms=100, backoff_type="fixed")
    assert all(100 <= (wait_ms(attempt, policy) or 0) <= 110 for attempt in range(1, 9))


def test_a_thousand_failures_do_not_overflow() -> None:
    assert wait_ms(999, Policy(max_attempts=1_000)) is not None


def test_the_last_attempt_makes_a_dead_letter() -> None:
    assert wait_ms(3, Policy(max_attempts=3)) is None
    assert wait_ms(3, Policy(max_attempts=3), "retry_after_ms: 5") is None


def test_an_error_is_kept_with_its_code_and_cut() -> None:
    outcome = failed(delivery(1), encode_error("oops", "a\0" + "x" * 5_000), Policy(), NOW)
    assert outcome.error.startswith("oops: a\N{REPLACEMENT CHARACTER}xxx")
    assert len(outcome.error) == 2_000


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        ("non_retryable", "", NON_RETRYABLE),
        ("invocation_failed", "non_retryable", NON_RETRYABLE),
        ("invocation_failed", "non_retryable: gone", NON_RETRYABLE),
        ("invocation_failed", "ValueError: non_retryable: gone", NON_RETRYABLE),
        ("invocation_failed", "handler error: non_retryable: gone", NON_RETRYABLE),
        ("invocation_failed", "handler error: retry_after_ms: 500", 500),
        ("invocation_failed", '{"code":"non_retryable","message":"gone"}', NON_RETRYABLE),
        ("invocation_failed", 'Error: {"non_retryable":true}', NON_RETRYABLE),
        ("retry_after_ms:500", "busy", 500),
        ("retry_after_ms", "500", 500),
        ("retry_after", "500 please", 500),
        ("invocation_failed", "retry_after_ms: 500", 500),
        ("invocation_failed", "retry_after_ms=500 since it is busy", 500),
        ("invocation_failed", '{"retry_after_ms":500}', 500),
        ("invocation_failed", '{"code":"BUSY","data":{"retry_after_ms":500}}', 500),
        ("invocation_failed", "retry_after_ms: " + "9" * 400, 315_360_000_000),
        ("invocation_failed", "it is non_retryable", None),
        ("invocation_failed", "non_retryable_thing", None),
        ("invocation_failed", "retry_after_ms", None),
        ("invocation_failed", '{"retry_after_ms":"soon"}', None),
        ("invocation_failed", '{"retry_after_ms":-1}', None),
        ("invocation_failed", "{retry", None),
        ("invocation_failed", "[retry]", None),
    ],
)
def test_a_handler_says_what_it_wants(code: str, message: str, said: str | int | None) -> None:
    assert said_by_handler(ErrorBody(code, message)) == said
