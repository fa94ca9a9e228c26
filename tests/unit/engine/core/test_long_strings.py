"""Frames that are mostly one long string: decoded as all others are, whatever stands in them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core import long_strings, protocol
from engine.core.protocol import Frame

LONG = b"x" * 4096

# Pieces that frames are made of, right and wrong: the long text may come to stand anywhere.
PIECES = (
    LONG,
    LONG[:2047] + b"\x01" + LONG[:2048],
    LONG[:2047] + b"\\" + LONG[:2048],
    LONG[:2046] + "é".encode() + LONG[:2048],
    b"1" * 4096,
    b" " * 4096,
    b'"data":',
    b'"result":',
    b'"metadata":',
    b'"type":"invokefunction"',
    b'"',
    b'\\"',
    b"\\u0016",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"k":',
    b"null",
)


def read(payload: bytes) -> dict[str, object] | str:
    """Decode a frame whole, and return its members or what is wrong with it."""
    try:
        return members(protocol.decode_frame(payload))
    except msgspec.DecodeError as error:
        return str(error)


def members(frame: Frame) -> dict[str, object]:
    return {
        name: bytes(value) if isinstance(value, msgspec.Raw) else value
        for name, value in msgspec.structs.asdict(frame).items()
    }


def read_in_two(payload: bytes) -> dict[str, object] | str:
    try:
        return members(long_strings.decode_frame(payload))
    except msgspec.DecodeError as error:
        return str(error)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_a_frame_of_any_pieces_is_decoded_alike(payload: bytes) -> None:
    assert read_in_two(payload) == read(payload)


@given(
    st.lists(
        st.sampled_from(
            (
                b'"data":"%b"' % LONG,
                b'"data":{"a":["%b",1],"b":{}}' % LONG,
                b'"data":"\\"%b"' % LONG,
                b'"data":"%b\\""' % LONG,
                b'"data":{"%b":1}' % LONG,
                b'"data":[%b]' % (b"1" * 4096),
                b'"data":1',
                b'"result":[" %b"]' % LONG,
                b'"metadata":"%b"' % LONG,
                b'"namespace":"%b"' % LONG,
                b'"other":{"data":"%b"}' % LONG,
                b'"data":"\\u0016"',
                b'"type":"invokefunction"',
                b'"invocation_id":"i"',
            )
        ),
        max_size=4,
    ).map(lambda parts: b"{" + b" , ".join(parts) + b"}")
)
def test_a_frame_of_whole_members_is_decoded_alike(payload: bytes) -> None:
    assert read_in_two(payload) == read(payload)


@pytest.mark.parametrize("member", ["data", "result"])
@pytest.mark.parametrize("value", [b'"%b"' % LONG, b'{"a":[1,"%b"],"b":2}' % LONG])
def test_the_long_text_is_decoded_apart(
    member: str, value: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    whole = protocol.decode_frame

    def noted(payload: bytes) -> Frame:
        decoded.append(len(payload))
        return whole(payload)

    monkeypatch.setattr(protocol, "decode_frame", noted)

    frame = long_strings.decode_frame(b'{"type":"x","%b":%b}' % (member.encode(), value))

    assert bytes(getattr(frame, member)) == value
    assert decoded == [pytest.approx(40, abs=20)]
