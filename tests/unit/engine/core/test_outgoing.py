"""The frames that the engine sends, and the ids in them."""

from __future__ import annotations

import json
import uuid

from engine.core import outgoing


def test_invocation_ids_are_uuids_and_never_repeat() -> None:
    next_id = outgoing.InvocationIds().next

    ids = [next_id() for _ in range(5000)]

    assert len(set(ids)) == 5000
    assert all(str(uuid.UUID(each)) == each and uuid.UUID(each).version == 4 for each in ids)


def test_a_result_without_value_carries_neither_result_nor_error() -> None:
    frame = outgoing.result_frame(b'"i"', b'"f"', outgoing.RESULT, b"", None, "k=v")

    assert json.loads(bytes(frame)) == {
        "type": "invocationresult",
        "invocation_id": "i",
        "function_id": "f",
        "baggage": "k=v",
    }


def test_trace_and_metadata_are_carried_only_if_known() -> None:
    head = outgoing.invocation_head('odd "id"')

    frame = outgoing.invocation_frame("i", head, b"1", "00-a-b-01", "k=v", b'{"t":1}')

    assert json.loads(bytes(frame)) == {
        "type": "invokefunction",
        "invocation_id": "i",
        "function_id": 'odd "id"',
        "data": 1,
        "traceparent": "00-a-b-01",
        "baggage": "k=v",
        "metadata": {"t": 1},
    }
    without = outgoing.invocation_frame("i", head, b"1", "t", None, b"null")
    assert b"metadata" not in bytes(without)


def test_a_large_payload_is_not_copied_into_its_frame() -> None:
    payload = b'"' + b"x" * outgoing.UNCOPIED_FROM + b'"'
    head = outgoing.invocation_head("f")

    call = outgoing.invocation_frame("i", head, payload, "t", None, b"")
    result = outgoing.result_frame(b'"i"', b'"f"', outgoing.RESULT, payload, None, None)

    for frame in (call, result):
        assert isinstance(frame, outgoing.LargeFrame)
        assert frame.payload.obj is payload
        assert len(frame) == len(bytes(frame))
        assert frame.decode().encode() == bytes(frame)
    assert json.loads(bytes(call))["data"] == json.loads(bytes(result))["result"]
    assert json.loads(bytes(call))["traceparent"] == "t"
