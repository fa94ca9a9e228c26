"""How runs of frames are taken apart."""

from __future__ import annotations

import pytest

from tests.bench.frames import invocation_id
from tests.bench.traffic import shape, split_run


@pytest.mark.parametrize("ends", [b"x", b"xy", b"xyz"])
def test_a_run_is_split_into_ids_and_shapes(ends: bytes) -> None:
    ids = [invocation_id(number) for number in range(len(ends))]
    frames = b"".join(
        b"\x81\x28ab" + call_id + b"c" + bytes([end])
        for call_id, end in zip(ids, ends, strict=True)
    )

    found, shapes = split_run(frames, size=42, header=2, id_at=2)

    assert found == ids
    assert shapes == [b"abc" + bytes([end]) for end in ends]


@pytest.mark.parametrize("count", [1, 3])
def test_a_shape_ends_with_what_is_checked(count: int) -> None:
    ids = [invocation_id(number) for number in range(count)]
    frames = b"".join(
        b"\x81\x28ab" + call_id + b"c%d" % number for number, call_id in enumerate(ids)
    )

    found, shapes = split_run(frames, size=42, header=2, id_at=2, shape_end=39)

    assert found == ids
    assert shapes == [b"abc"] * count


def test_the_shape_of_a_message_leaves_its_id_out() -> None:
    message = b"..ab" + invocation_id(1) + b"cd.."

    assert shape(message, 2, 4, len(message) - 2) == b"abcd"
