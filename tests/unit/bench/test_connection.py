"""How a socket that takes only a part is fed with the rest."""

from __future__ import annotations

import pytest

from tests.bench.connection import drop_sent


@pytest.mark.parametrize(
    ("sent", "rest"),
    [
        (0, [b"abc", b"de", b"f"]),
        (2, [b"c", b"de", b"f"]),
        (3, [b"de", b"f"]),
        (4, [b"e", b"f"]),
        (6, []),
    ],
)
def test_what_was_sent_is_dropped_to_the_byte(sent: int, rest: list[bytes]) -> None:
    pieces: list[bytes | memoryview] = [b"abc", b"de", b"f"]

    drop_sent(pieces, sent)

    assert [bytes(piece) for piece in pieces] == rest
