"""Frames of the load generator: what it builds, and how it reads without decoding."""

from __future__ import annotations

import json

import pytest

from tests.bench.frames import (
    Frame,
    FrameError,
    Opcode,
    Template,
    call_template,
    client_header,
    count_alike,
    find_invocation_id,
    find_value,
    invocation_id,
    message_frame,
    next_frame,
    result_template,
    upgrade_request,
)

_ID = "00000000-0000-4000-8000-00000000002a"


def _message(template: Template) -> str:
    """Return the JSON text of a frame with the id 42, its header taken off."""
    frame = template.head + invocation_id(42) + template.tail
    header = {126: 8, 127: 14}.get(frame[1] & 0x7F, 6)
    return frame[header:].decode()


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, b"\x81\x80\0\0\0\0"),
        (125, b"\x81\xfd\0\0\0\0"),
        (126, b"\x81\xfe\x00\x7e\0\0\0\0"),
        (65_535, b"\x81\xfe\xff\xff\0\0\0\0"),
        (65_536, b"\x81\xff\0\0\0\0\0\x01\0\0\0\0\0\0"),
    ],
)
def test_a_header_is_masked_with_a_key_of_zero(length: int, header: bytes) -> None:
    assert client_header(length) == header


def test_a_control_frame_has_its_opcode() -> None:
    assert client_header(2, Opcode.PONG) == b"\x8a\x82\0\0\0\0"


def test_a_message_is_one_text_frame() -> None:
    assert message_frame({"type": "ping"}) == b'\x81\x8f\0\0\0\0{"type":"ping"}'


def test_the_handshake_asks_for_a_websocket() -> None:
    lines = upgrade_request(49134).decode().split("\r\n")

    assert lines[:3] == ["GET / HTTP/1.1", "Host: 127.0.0.1:49134", "Upgrade: websocket"]
    assert lines[-2:] == ["", ""]


def test_ids_are_uuids_that_differ() -> None:
    assert invocation_id(42) == _ID.encode()
    assert invocation_id(43) != invocation_id(42)


def test_a_call_has_its_type_first() -> None:
    assert _message(call_template("a::b", b'{"n":1}')) == (
        f'{{"type":"invokefunction","invocation_id":"{_ID}","function_id":"a::b","data":{{"n":1}}}}'
    )


def test_a_call_in_the_order_of_the_python_sdk_has_its_type_last() -> None:
    assert _message(call_template("a::b", b'{"n":1}', type_last=True)) == (
        f'{{"function_id":"a::b","data":{{"n":1}},"invocation_id":"{_ID}","type":"invokefunction"}}'
    )


@pytest.mark.parametrize("type_last", [False, True])
def test_a_result_carries_the_id_and_the_value(type_last: bool) -> None:
    message = _message(result_template(b"a::b", b"[1]", type_last=type_last))

    assert json.loads(message) == {
        "type": "invocationresult",
        "invocation_id": _ID,
        "function_id": "a::b",
        "result": [1],
    }
    assert message.endswith('"type":"invocationresult"}') is type_last


@pytest.mark.parametrize("size", [10, 200, 70_000])
def test_a_template_says_the_length_of_the_whole_frame(size: int) -> None:
    head, tail = call_template("a::b", b'"' + b"x" * size + b'"')
    header = {10: 6, 200: 8, 70_000: 14}[size]

    length = len(head) + len(invocation_id(1)) + len(tail) - header
    assert head[:header] == client_header(length)


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (b"\x81\x02hi", (0x81, 2, 4)),
        (b"\x89\x00", (0x89, 2, 2)),
        (b"\x81\x7e\x00\x80" + b"x" * 128, (0x81, 4, 132)),
        (b"\x81\x7f" + (70_000).to_bytes(8, "big") + b"x" * 70_000, (0x81, 10, 70_010)),
    ],
)
def test_a_frame_is_found_behind_another(frame: bytes, found: Frame) -> None:
    buffer = bytearray(b"\x81\x01a" + frame + b"\x81")

    first_byte, start, end = found
    assert next_frame(buffer, 3, len(buffer)) == (first_byte, start + 3, end + 3)


@pytest.mark.parametrize(
    "part", [b"", b"\x81", b"\x81\x02h", b"\x81\x7e\x00", b"\x81\x7f\0\0\0\0\0\0\0"]
)
def test_a_part_of_a_frame_is_no_frame(part: bytes) -> None:
    assert next_frame(bytearray(part), 0, len(part)) is None


@pytest.mark.parametrize("frame", [b"\x81\x82\0\0\0\0hi", b"\x01\x02hi"])
def test_a_masked_or_fragmented_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameError):
        next_frame(bytearray(frame), 0, len(frame))


@pytest.mark.parametrize(
    ("frames", "count"),
    [
        (b"\x81\x02ab", 1),
        (b"\x81\x02ab\x81\x02cd\x81\x02ef", 3),
        (b"\x81\x02ab\x81\x02cd\x81\x02e", 2),
        (b"\x81\x02ab\x81\x02cd\x81\x03efg", 2),
        (b"\x81\x02ab\x89\x02cd\x81\x02ef", 1),
    ],
)
def test_frames_with_equal_headers_are_counted_as_a_run(frames: bytes, count: int) -> None:
    assert count_alike(bytearray(frames), 0, len(frames), size=4, header=2) == count


@pytest.mark.parametrize("padding", [0, 1_000])
def test_the_invocation_id_is_found_on_either_side_of_the_payload(padding: int) -> None:
    payload = b'"' + b"x" * padding + b'"'
    first = b'{"invocation_id":"' + _ID.encode() + b'","data":' + payload + b"}"
    last = b'{"data":' + payload + b',"invocation_id":"' + _ID.encode() + b'"}'
    middle = b'{"data":' + payload + b',"invocation_id":"' + _ID.encode() + b'","m":' + payload

    for message in (first, last, middle):
        at = find_invocation_id(message, 0, len(message))
        assert message[at : at + 36] == _ID.encode()


def test_a_message_without_an_id_has_none() -> None:
    message = b'{"type":"workerregistered","worker_id":"' + b"x" * 500 + b'"}'

    assert find_invocation_id(message, 0, len(message)) == -1


def test_a_value_is_found_behind_its_key() -> None:
    message = b'{"a":1,"result":{"b":2}}'

    assert message[find_value(message, b'"result":', 0, len(message)) :] == b'{"b":2}}'
    assert find_value(message, b'"error":', 0, len(message)) == -1
