"""Payloads of the benchmark: their size, and that a parsing router writes them back unchanged."""

from __future__ import annotations

import orjson
import pytest

from tests.bench.payloads import Payload


@pytest.mark.parametrize(
    "payload", [Payload("text", 100), Payload("string", 1 << 20), Payload("string", 50)]
)
def test_a_text_has_exactly_its_size(payload: Payload) -> None:
    assert len(payload.build()) == payload.size


@pytest.mark.parametrize("size", [10_000, 100_000])
def test_objects_come_close_to_their_size(size: int) -> None:
    assert size - 400 < len(Payload("objects", size).build()) <= size


@pytest.mark.parametrize(
    "payload", [Payload("text", 100), Payload("string", 1000), Payload("objects", 10_000)]
)
def test_a_re_serialised_payload_is_equal(payload: Payload) -> None:
    text = payload.build()

    assert orjson.dumps(orjson.loads(text)) == text
