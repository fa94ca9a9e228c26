"""Data channels over real sockets, on every server."""

from __future__ import annotations

import struct
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.acceptance.behaviour.conftest import Engines, Site
from tests.acceptance.engine_process import Server
from tests.acceptance.raw_channel import (
    BINARY,
    CLOSE,
    FRAME_SIZE,
    TEXT,
    RawChannel,
    Refused,
    frame,
)
from tests.acceptance.raw_worker import RawWorker
from tests.bench.procfs import memory
from tests.waiting import wait_until, wait_until_still

# How much an engine may grow for a channel whose reader stops.
HELD_LIMIT_KIB: Final = 32 * 1024


def create(site: Site, **payload: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make a channel and return the refs of its writer and its reader."""
    refs = site.worker.call("engine::channels::create", payload)
    return refs["writer"], refs["reader"]


def connect(site: Site, ref: dict[str, Any], receive_buffer: int = 0) -> RawChannel:
    return RawChannel(site.engine.worker_url, ref, receive_buffer)


def in_background(work: Any, *arguments: Any) -> Future[Any]:
    pool = ThreadPoolExecutor(max_workers=1)
    future = pool.submit(work, *arguments)
    pool.shutdown(wait=False)
    return future


def test_a_reader_may_come_long_after_the_writer_has_closed(site: Site) -> None:
    to_write, to_read = create(site)
    bulk = bytes(range(256)) * 256 + bytes(4464)
    with connect(site, to_write) as writer:
        writer.send(bulk[:FRAME_SIZE])
        writer.send(bulk[FRAME_SIZE:])
        writer.send("and a text message")
        writer.close()

    with connect(site, to_read) as reader:
        received = list(reader)

    assert received == [bulk[:FRAME_SIZE], bulk[FRAME_SIZE:], "and a text message"]
    assert len(bulk) == 70_000
    assert reader.close_code == 1000


def test_text_and_binary_pass_unchanged_and_in_order(site: Site) -> None:
    to_write, to_read = create(site)
    messages: list[bytes | str] = [b"", "", "ünïcode", b"\x00\xff\xfe", "x" * 70_000, b"y" * 70_000]
    with connect(site, to_read) as reader, connect(site, to_write) as writer:
        for message in messages:
            writer.send(message)
            assert reader.read() == message
        writer.close()
        assert reader.read() is None

    assert reader.close_code == 1000


@pytest.mark.parametrize(
    "wrong",
    [
        {"channel_id": "00000000-0000-4000-8000-000000000000"},
        {"access_key": "x"},
        {"direction": "up"},
    ],
    ids=["id", "key", "direction"],
)
def test_a_wrong_ref_is_refused_before_the_upgrade(
    site: Site, server: Server, wrong: dict[str, str]
) -> None:
    _, to_read = create(site)

    with pytest.raises(Refused) as caught:
        connect(site, to_read | wrong)

    # Daphne can refuse an upgrade with 403 only.
    assert caught.value.status == (403 if server == "daphne" else 404)


@pytest.mark.parametrize("end", [0, 1], ids=["writer", "reader"])
def test_a_second_taker_of_an_end_is_closed_at_once(site: Site, end: int) -> None:
    refs = create(site)
    with connect(site, refs[end]), connect(site, refs[end]) as second:
        assert second.read() is None

    assert second.close_code == 1008


def test_a_lost_writer_ends_its_reader_normally_after_the_rest(site: Site) -> None:
    to_write, to_read = create(site)
    with connect(site, to_read) as reader:
        writer = connect(site, to_write)
        writer.send(b"the rest")
        assert reader.read() == b"the rest"
        writer.drop()
        assert reader.read() is None

    assert reader.close_code == 1000


def test_a_writer_whose_reader_leaves_is_ended(site: Site) -> None:
    to_write, to_read = create(site)
    with connect(site, to_write) as writer:
        with connect(site, to_read) as reader:
            writer.send(b"one")
            assert reader.read() == b"one"
        assert writer.read() is None

    assert writer.close_code == 1000


def test_frames_behind_the_writers_close_do_no_harm(site: Site) -> None:
    to_write, to_read = create(site)
    with connect(site, to_write) as writer:
        writer.send_frames(
            frame(BINARY, b"before")
            + frame(CLOSE, struct.pack("!H", 1000))
            + frame(BINARY, b"behind")
            + frame(TEXT, b"behind")
        )
        assert writer.read() is None
        with connect(site, to_read) as reader:
            assert reader.read() == b"before"
            assert reader.read() in {None, b"behind"}

    site.settle()


def test_a_channel_of_a_worker_that_leaves_goes_unless_it_is_in_use(site: Site) -> None:
    with site.connect() as other:
        used = other.call("engine::channels::create", {})
        unused = other.call("engine::channels::create", {})
        writer, reader = connect(site, used["writer"]), connect(site, used["reader"])

    def is_gone() -> bool:
        try:
            connect(site, unused["reader"]).drop()
        except Refused:
            return True
        return False

    with writer, reader:
        wait_until(is_gone, "the unused channel is gone")
        writer.send(b"still there")
        assert reader.read() == b"still there"


def test_a_writer_waits_for_its_reader_and_nothing_is_lost(site: Site, server: Server) -> None:
    to_write, to_read = create(site)
    count = 2000  # 125 MiB
    before = memory(site.engine.pid).rss_kib
    sent = 0

    def write() -> None:
        nonlocal sent
        with connect(site, to_write) as writer:
            for number in range(count):
                writer.send(struct.pack("!I", number) * (FRAME_SIZE // 4))
                sent += 1
            writer.close()

    with connect(site, to_read, receive_buffer=32 * 1024) as reader:
        writing = in_background(write)
        first = reader.read()
        if server != "daphne":  # which reads all that comes, as it says at start
            assert wait_until_still(lambda: sent, "the writer") < count
            assert memory(site.engine.pid).rss_kib - before < HELD_LIMIT_KIB
        rest = [message[:4] for message in reader if isinstance(message, bytes)]

    writing.result(timeout=20)
    assert isinstance(first, bytes)
    assert [first[:4], *rest] == [struct.pack("!I", number) for number in range(count)]
    assert reader.close_code == 1000


def test_a_slow_channel_keeps_nobody_else_waiting(site: Site) -> None:
    to_write, to_read = create(site)
    stop = threading.Event()

    def flood() -> None:
        with connect(site, to_write) as writer:
            wire = frame(BINARY, bytes(FRAME_SIZE))
            while not stop.is_set():
                try:
                    writer.send_frames(wire)
                except OSError:
                    return

    with connect(site, to_read, receive_buffer=32 * 1024) as reader:
        flooding = in_background(flood)
        assert reader.read() is not None
        other_write, other_read = create(site)
        with connect(site, other_write) as writer, connect(site, other_read) as other:
            writer.send(b"quick")
            assert other.read() == b"quick"
        stop.set()
    flooding.result(timeout=20)


def test_a_stopping_engine_ends_both_ends(server: Server, engines: Engines) -> None:
    engine = engines.fresh(server)
    with RawWorker(engine.worker_url) as worker:
        refs = worker.call("engine::channels::create", {})
        with (
            RawChannel(engine.worker_url, refs["writer"]) as writer,
            RawChannel(engine.worker_url, refs["reader"]) as reader,
        ):
            writer.send(b"one")
            assert reader.read() == b"one"
            engine.ask_to_stop()
            assert (writer.read(), writer.close_code) == (None, 1012)
            assert (reader.read(), reader.close_code) == (None, 1012)
    wait_until(lambda: not engine.is_running, "the engine has stopped")
