"""RFC 6455 on the wire, the same on every server: what peers may send and what cuts them."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.engine.server.applications import SocketApplication
from tests.integration.engine.server.conftest import Serve
from tests.integration.engine.server.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Peer,
    close_payload,
    frame,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024 * 1024


@pytest.fixture
def application() -> SocketApplication:
    return SocketApplication()


DROPPED = "dropped without a close frame"


async def cut(peer: Peer, *pieces: bytes) -> int | str | None:
    """Send bytes and return the close code that the server answers with."""
    peer.write(*pieces)
    try:
        code = await peer.read_until_close()
    except (ConnectionError, asyncio.IncompleteReadError):
        return DROPPED
    peer.write(frame(CLOSE, close_payload(1000)))
    await peer.read_end()
    return code


def refusals(name: str, code: int) -> set[int | str]:
    """Return the answers that are right; autobahn drops whoever sends a bad close frame."""
    return {code, DROPPED} if name == "daphne" else {code}


class TestMessages:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
    async def test_of_every_length_encoding_come_through(
        self, serve: Serve, application: SocketApplication, name: str, size: int
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.send(b"x" * size)
        peer.send(b"end")

        expected = [b"x" * size, b"end"]
        assert [await peer.read_text() for _ in expected] == expected
        assert (await application.session()).received == [b"x" * size, b"end"]

    async def test_that_are_binary_reach_the_receiver_as_such(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.send(b"\x00\xff", BINARY)
        peer.send(b"text")

        assert await peer.read_text() == b"text"
        assert application.sessions[0].binary == [b"\x00\xff"]

    async def test_of_many_bytes_beyond_ascii_come_through(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()
        text = "κόσμε 🎉 é".encode() * 5_000

        peer.send(text)

        assert await peer.read_text() == text

    async def test_of_60_mib_come_through(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.send(b"y" * (60 * MIB))

        assert len(await peer.read_text()) == 60 * MIB

    async def test_in_one_segment_keep_their_order(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()
        texts = [str(index).encode() for index in range(500)]

        peer.write(*(frame(TEXT, text) for text in texts))

        assert [await peer.read_text() for _ in texts] == texts

    async def test_byte_by_byte_come_through(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        for byte in frame(TEXT, b"slowly") + frame(TEXT, b"z" * 130):
            peer.write(bytes((byte,)))
            await peer.writer.drain()

        assert [await peer.read_text(), await peer.read_text()] == [b"slowly", b"z" * 130]


class TestFragments:
    async def test_become_one_message(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.write(
            frame(TEXT, b"one ", fin=False),
            frame(CONTINUATION, b"", fin=False),
            frame(CONTINUATION, b"two ", fin=False),
            frame(CONTINUATION, b"three"),
            frame(TEXT, b"next"),
        )

        assert [await peer.read_text(), await peer.read_text()] == [b"one two three", b"next"]

    async def test_of_a_binary_message_become_one(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.write(frame(BINARY, b"\xff", fin=False), frame(CONTINUATION, b"\xfe"))
        peer.send(b"text")

        assert await peer.read_text() == b"text"
        assert application.sessions[0].binary == [b"\xff\xfe"]

    async def test_may_part_a_character(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()
        text = "é".encode()

        peer.write(frame(TEXT, text[:1], fin=False), frame(CONTINUATION, text[1:]))

        assert await peer.read_text() == text

    async def test_let_control_frames_between_them(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.write(
            frame(TEXT, b"one ", fin=False),
            frame(PING, b"are you there"),
            frame(PONG, b"unasked"),
            frame(CONTINUATION, b"two"),
        )

        assert await peer.read_frame() == Frame(PONG, b"are you there")
        assert await peer.read_text() == b"one two"

    @pytest.mark.parametrize("name", ["picows", "daphne"])
    async def test_let_a_close_frame_between_them(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.write(frame(TEXT, b"one ", fin=False), frame(CLOSE, close_payload(1001)))

        assert await peer.read_close() in (1001, 1000)
        session = await application.session()
        assert await session.ended() == 1001
        assert session.received == []

    @pytest.mark.parametrize(
        "frames",
        [
            pytest.param([frame(CONTINUATION, b"alone")], id="a continuation of nothing"),
            pytest.param(
                [frame(CONTINUATION, b"alone", fin=False)], id="an open continuation of nothing"
            ),
            pytest.param(
                [frame(TEXT, b"one", fin=False), frame(TEXT, b"two")],
                id="a message within a message",
            ),
            pytest.param(
                [frame(TEXT, b"one", fin=False), frame(BINARY, b"two", fin=False)],
                id="a fragment of another message",
            ),
        ],
    )
    async def test_out_of_place_are_a_protocol_error(
        self, serve: Serve, application: SocketApplication, name: str, frames: list[bytes]
    ) -> None:
        peer = await (await serve(application, name)).connect()

        assert await cut(peer, *frames) == 1002
        assert await (await application.session()).ended()


class TestControlFrames:
    @pytest.mark.parametrize("payload", [b"", b"p", b"\x00\xff\xfe", b"x" * 125])
    async def test_ping_is_answered_with_its_payload(
        self, serve: Serve, application: SocketApplication, name: str, payload: bytes
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.send(payload, PING)

        assert await peer.read_frame() == Frame(PONG, payload)

    async def test_ten_pings_get_ten_pongs(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()
        payloads = [str(index).encode() for index in range(10)]

        peer.write(*(frame(PING, payload) for payload in payloads))

        assert [await peer.read_frame() for _ in payloads] == [
            Frame(PONG, payload) for payload in payloads
        ]

    async def test_pong_is_taken_without_a_ping(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.write(frame(PONG, b"unasked"), frame(TEXT, b"on"))

        assert await peer.read_text() == b"on"

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param(frame(PING, b"x" * 126), id="a long ping"),
            pytest.param(frame(PONG, b"x" * 126), id="a long pong"),
            pytest.param(frame(PING, b"x", fin=False), id="a fragmented ping"),
            pytest.param(frame(CLOSE, close_payload(1000), fin=False), id="a fragmented close"),
            pytest.param(frame(CLOSE, close_payload(1000, b"x" * 124)), id="a long close"),
        ],
    )
    async def test_too_long_or_fragmented_are_a_protocol_error(
        self, serve: Serve, application: SocketApplication, name: str, bad: bytes
    ) -> None:
        peer = await (await serve(application, name)).connect()

        assert await cut(peer, bad) in refusals(name, 1002)


class TestFrames:
    @pytest.mark.parametrize("rsv", [1, 2, 3, 4, 5, 6, 7])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY, PING])
    async def test_with_a_reserved_bit_are_a_protocol_error(
        self, serve: Serve, application: SocketApplication, name: str, opcode: int, rsv: int
    ) -> None:
        peer = await (await serve(application, name)).connect()

        assert await cut(peer, frame(opcode, b"x", rsv=rsv)) == 1002

    @pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
    async def test_with_a_reserved_opcode_are_a_protocol_error(
        self, serve: Serve, application: SocketApplication, name: str, opcode: int
    ) -> None:
        peer = await (await serve(application, name)).connect()

        assert await cut(peer, frame(opcode, b"x")) == 1002

    async def test_without_a_mask_are_a_protocol_error(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        assert await cut(peer, frame(TEXT, b"naked", mask=None)) == 1002

    @pytest.mark.parametrize("name", ["picows", "daphne"])
    async def test_before_the_bad_one_are_handled(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.write(frame(TEXT, b"good"), frame(TEXT, b"too"), frame(3, b"bad"))

        assert await peer.read_until_close() == 1002
        assert (await application.session()).received == [b"good", b"too"]


class TestSizes:
    async def test_a_frame_over_64_mib_is_too_big(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()
        head = frame(TEXT, b"x" * 65536)[:2] + (64 * MIB + 1).to_bytes(8, "big")

        assert await cut(peer, head, b"\x00" * 4, b"x" * 100) == 1009

    async def test_fragments_over_64_mib_together_are_too_big(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()
        part = frame(CONTINUATION, b"x" * (16 * MIB), fin=False)

        peer.write(frame(TEXT, b"x" * (16 * MIB), fin=False), part, part, part)
        await peer.writer.drain()

        assert await cut(peer, frame(CONTINUATION, b"x")) == 1009
        assert (await application.session()).received == []


INVALID_UTF8 = [
    pytest.param(b"\xff", id="no such byte"),
    pytest.param(b"ab\xc3", id="cut off"),
    pytest.param(b"\xc0\xaf", id="overlong"),
    pytest.param(b"\xed\xa0\x80", id="surrogate"),
    pytest.param(b"\xf4\x90\x80\x80", id="beyond the last character"),
    pytest.param(b"a" * 100_000 + b"\x80", id="late"),
]


class TestText:
    @pytest.mark.parametrize("text", INVALID_UTF8)
    async def test_that_is_not_utf8_is_refused(
        self, serve: Serve, application: SocketApplication, name: str, text: bytes
    ) -> None:
        peer = await (await serve(application, name)).connect()

        assert await cut(peer, frame(TEXT, text)) == 1007
        assert (await application.session()).received == []

    @pytest.mark.parametrize("text", INVALID_UTF8)
    async def test_that_is_not_utf8_is_refused_in_fragments(
        self, serve: Serve, application: SocketApplication, name: str, text: bytes
    ) -> None:
        peer = await (await serve(application, name)).connect()

        parts = [frame(TEXT, text[:1], fin=False), frame(CONTINUATION, text[1:])]

        assert await cut(peer, *parts) == 1007

    async def test_may_be_anything_in_a_binary_message(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.write(frame(BINARY, b"\xff", fin=False), frame(CONTINUATION, b"\xff"))
        peer.send(b"fine")

        assert await peer.read_text() == b"fine"


class TestClosing:
    @pytest.mark.parametrize(
        "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4999]
    )
    async def test_a_code_is_echoed_and_reported(
        self, serve: Serve, application: SocketApplication, name: str, code: int
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.close(code, "müde".encode())

        assert await peer.read_close() in (code, 1000)
        await peer.read_end()
        assert await (await application.session()).ended() == code

    async def test_without_a_code_is_answered_and_reported_as_1005(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.write(frame(CLOSE))

        assert await peer.read_close() in (None, 1000)
        assert await (await application.session()).ended() == 1005

    @pytest.mark.parametrize(
        "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
    )
    async def test_with_a_code_that_must_not_be_sent_is_a_protocol_error(
        self, serve: Serve, application: SocketApplication, name: str, code: int
    ) -> None:
        peer = await (await serve(application, name)).connect()

        assert await cut(peer, frame(CLOSE, close_payload(code))) in refusals(name, 1002)

    async def test_with_half_a_code_is_a_protocol_error(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        assert await cut(peer, frame(CLOSE, b"\x03")) in refusals(name, 1002)

    async def test_with_a_reason_that_is_not_utf8_is_refused(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        assert await cut(peer, frame(CLOSE, close_payload(1000, b"\xff"))) in refusals(name, 1007)

    async def test_ends_everything_after_it(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.write(frame(TEXT, b"before"), frame(CLOSE, close_payload(1000)), frame(TEXT, b"late"))

        assert await peer.read_until_close() == 1000
        session = await application.session()
        assert await session.ended() == 1000
        assert session.received == [b"before"]

    async def test_by_dropping_the_connection_is_reported_as_1006(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()
        session = await application.session()

        peer.abort()

        assert await session.ended() == 1006

    async def test_by_a_half_closed_connection_ends_it_after_what_came(
        self, serve: Serve, application: SocketApplication, name: str
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.send(b"last")
        peer.half_close()

        session = await application.session()
        assert await session.ended() == 1006
        assert session.received == [b"last"]

    @pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 3000, 4999])
    async def test_from_our_side_sends_what_is_queued_and_the_code(
        self, serve: Serve, application: SocketApplication, name: str, code: int
    ) -> None:
        peer = await (await serve(application, name)).connect()
        session = await application.session()

        session.socket.push(b"last words")
        session.socket.close(code, "bye")
        session.socket.close(4000)
        session.socket.push(b"too late")

        assert not session.socket.is_open
        assert not session.socket.offer(b"too late")
        assert await peer.read_text() == b"last words"
        assert await peer.read_close() == code
        peer.close(code)
        await peer.read_end()
        assert await session.ended() == code

    async def test_after_a_receiver_raised_is_1011(
        self,
        serve: Serve,
        application: SocketApplication,
        name: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        peer = await (await serve(application, name)).connect()

        peer.send(b"raise")

        assert await peer.read_until_close() == 1011
        assert "a message could not be handled" in caplog.text
