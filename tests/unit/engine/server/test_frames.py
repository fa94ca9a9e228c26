"""Frames as bytes, and which close codes may travel."""

from __future__ import annotations

import pytest

from engine.server.frames import (
    BINARY,
    TEXT,
    Uncounted,
    check_close_code,
    clip_reason,
    close_frame,
    header,
    pong_frame,
    read_close,
)


@pytest.mark.parametrize(
    ("first_byte", "size", "expected"),
    [
        (TEXT, 0, b"\x81\x00"),
        (TEXT, 125, b"\x81\x7d"),
        (BINARY, 126, b"\x82\x7e\x00\x7e"),
        (TEXT, 65535, b"\x81\x7e\xff\xff"),
        (TEXT, 65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_header_uses_the_shortest_length(first_byte: int, size: int, expected: bytes) -> None:
    assert header(first_byte, size) == expected


def test_control_frames_are_not_counted_as_messages() -> None:
    frames = [pong_frame(b"p"), close_frame(1000), close_frame(None), close_frame(4000, "é")]

    assert frames == [b"\x8a\x01p", b"\x88\x02\x03\xe8", b"\x88\x00", b"\x88\x04\x0f\xa0\xc3\xa9"]
    assert {type(each) for each in frames} == {Uncounted}


def test_a_long_reason_is_cut_at_a_character() -> None:
    assert clip_reason("é" * 100) == "é" * 61
    assert len(close_frame(1000, "é" * 100)) == 2 + 2 + 122


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_codes_that_may_be_sent_are_taken(code: int) -> None:
    check_close_code(code)


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65536])
def test_codes_that_must_not_be_sent_are_refused(code: int) -> None:
    with pytest.raises(ValueError, match=f"{code} is not a close code"):
        check_close_code(code)


def test_a_close_frame_is_read_back() -> None:
    assert read_close(b"") == (None, "")
    assert read_close(b"\x03\xe8") == (1000, "")
    assert read_close(b"\x0f\xa0bye") == (4000, "bye")


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x03\xe8\xff"])
def test_a_bad_close_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"close|decode"):
        read_close(payload)
