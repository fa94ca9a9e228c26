"""The wire: what is decoded, what is refused, what is built."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core import outgoing, protocol

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(data=JSON, type_is_last=st.booleans())
def test_a_payload_passes_byte_for_byte(data: object, type_is_last: bool) -> None:
    text = json.dumps(data).encode()
    head, tail = b'"type":"invokefunction"', b'"function_id":"f","data":' + text
    members = (tail, head) if type_is_last else (head, tail)

    frame = protocol.decode_frame(b"{" + b",".join(members) + b"}")
    sent = outgoing.invocation_frame(
        "i", outgoing.invocation_head("f"), frame.data, frame.traceparent, None, b""
    )

    assert bytes(frame.data) == text
    assert sent == (
        b'{"type":"invokefunction","invocation_id":"i","function_id":"f","data":' + text + b"}"
    )


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":1,}',
        b"NaN",
        b"01",
        b'"\\ud800"',
        b'"\\x"',
        b"tru",
        b'"\x01"',
        b"[" * 5000 + b"]" * 5000,
    ],
)
def test_malformed_json_inside_a_payload_is_refused(payload: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, RecursionError)):
        protocol.decode_frame(b'{"type":"invokefunction","data":' + payload + b"}")


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (
            b'{"type":"invokefunction","invocation_id":"i","function_id":"f","data":NaN}',
            protocol.Malformed("invokefunction", "i", "f"),
        ),
        (
            b'{"invocation_id":"i","function_path":"f","data":{"x":tru},"type":"invokefunction"}',
            protocol.Malformed("invokefunction", "i", "f"),
        ),
        (b'{"type":"invocationresult","invocation_id":7}', protocol.Malformed("invocationresult")),
        (b"[1,2", protocol.Malformed()),
        (b'"text"', protocol.Malformed()),
        (b"\xff\xfe", protocol.Malformed()),
    ],
)
def test_ids_of_a_broken_frame_are_salvaged(payload: bytes, found: protocol.Malformed) -> None:
    assert protocol.salvage(payload) == found


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (
            {"code": "c", "message": "m", "stacktrace": "s"},
            {"code": "c", "message": "m", "stacktrace": "s"},
        ),
        ({"code": "c", "message": "m", "stacktrace": None}, {"code": "c", "message": "m"}),
        (
            {"code": 5, "message": "m"},
            {"code": "invocation_failed", "message": '{"code":5,"message":"m"}'},
        ),
        ("boom", {"code": "invocation_failed", "message": '"boom"'}),
        (["x"], {"code": "invocation_failed", "message": '["x"]'}),
    ],
)
def test_errors_become_what_every_sdk_can_read(sent: object, read: object) -> None:
    assert json.loads(protocol.normal_error(msgspec.json.encode(sent))) == read


def test_a_well_formed_error_is_passed_unchanged() -> None:
    error = b'{ "message":"m", "code":"c", "extra":[1] }'

    assert protocol.normal_error(error) == error


@pytest.mark.parametrize(
    ("payload", "expected"), [(b"abc", True), ("ü€𝄞".encode(), True), (b"\xff", False)]
)
def test_utf8_is_checked(payload: bytes, expected: bool) -> None:
    assert protocol.is_utf8(payload) is expected


@pytest.mark.parametrize(
    ("payload", "fits"),
    [
        (b"null", True),
        (b"1e400", False),
        (b"1E+400", False),
        (b"1e-400", True),
        (b'"1e400"', True),
        (b'["\\"", "1e400", 1e40]', True),
        (b"9" * 309, False),
        (b"[" * 120 + b"]" * 120, True),
        (b"[" * 121 + b"]" * 121, False),
        (b'[{"a":' * 70 + b"1" + b"}]" * 70, False),
        (b"[" + b",".join([b"[{}]"] * 500) + b"]", True),
        (b'["' + b"[" * 500 + b'"]', True),
        (b"[" * 200 + b" " * protocol.STRICT_CHECK_UP_TO + b"]" * 200, True),
    ],
)
def test_what_a_strict_reader_would_drop_is_known(payload: bytes, fits: bool) -> None:
    assert protocol.fits_strict_reader(payload) is fits
