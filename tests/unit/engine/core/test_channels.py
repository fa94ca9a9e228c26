"""Data channels without sockets: order, back-pressure, ends, limits, clean-up."""

from __future__ import annotations

import uuid

import pytest

from engine.core.channels import (
    COMPLETE,
    LOST,
    MAX_BYTES,
    MAX_CHANNELS_OF_WORKER,
    UNTAKEN_S,
    Channel,
    Channels,
    CreatedChannel,
)
from engine.core.errors import ChannelLimitReached


class Reader:
    """A reading end with room for some messages."""

    def __init__(self, channel: Channel, room: int = 1_000_000) -> None:
        self.taken: list[tuple[bool, bytes]] = []
        self.ending: tuple[int, str] | None = None
        self._channel = channel
        self._room = room
        self.has_end = channel.connect_reader(self)

    @property
    def has_ended(self) -> bool:
        return self.ending is not None

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.taken]

    def take(self, is_text: bool, payload: bytes) -> bool:
        assert self._room > 0, "nothing comes without room"
        self.taken.append((is_text, payload))
        self._room -= 1
        return self._room > 0

    def finish(self, code: int, reason: str) -> None:
        assert self.ending is None
        self.ending = code, reason

    def make_room(self, room: int) -> None:
        self._room = room
        self._channel.go_on()


class Writer:
    """A writing end that remembers what it was told."""

    def __init__(self, channel: Channel) -> None:
        self.told: list[str] = []
        self._channel = channel
        self.has_end = channel.connect_writer(self)

    def write(self, *payloads: bytes) -> None:
        for payload in payloads:
            self._channel.write(False, payload)

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def stop(self, code: int, reason: str) -> None:
        self.told.append("stop")


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def open_channels(
    owner_id: str = "worker", count: int = 1
) -> tuple[Channels, list[CreatedChannel]]:
    channels = Channels()
    return channels, [channels.create(owner_id) for _ in range(count)]


def test_messages_pass_unchanged_and_in_order() -> None:
    channel = Channel()
    reader = Reader(channel)
    Writer(channel)

    channel.write(True, b"text")
    channel.write(False, b"\x00\xff")
    channel.write(True, b"")

    assert reader.taken == [(True, b"text"), (False, b"\x00\xff"), (True, b"")]


def test_a_reader_that_comes_after_the_writers_close_gets_everything() -> None:
    channel = Channel()
    Writer(channel).write(*numbered(100))
    channel.end_writing()

    reader = Reader(channel)

    assert reader.payloads == numbered(100)
    assert reader.ending == (COMPLETE, "")


def test_an_empty_channel_ends_its_reader_at_once() -> None:
    channel = Channel()
    reader = Reader(channel)

    channel.end_writing(LOST)

    assert reader.ending == (LOST, "")


def test_a_full_channel_pauses_its_writer_and_half_of_it_resumes() -> None:
    channel = Channel(messages=4)
    writer = Writer(channel)
    writer.write(*numbered(3))
    assert writer.told == []
    writer.write(b"3")
    assert writer.told == ["pause"]

    reader = Reader(channel, room=1)
    assert writer.told == ["pause"]
    reader.make_room(1)

    assert writer.told == ["pause", "resume"]
    assert reader.payloads == [b"0", b"1"]


def test_what_a_paused_writer_still_writes_is_kept_in_order() -> None:
    channel = Channel(messages=1)
    writer = Writer(channel)
    writer.write(*numbered(5))
    assert writer.told == ["pause"]

    assert Reader(channel).payloads == numbered(5)


def test_few_large_messages_fill_a_channel_too() -> None:
    channel = Channel()
    writer = Writer(channel)
    writer.write(bytes(MAX_BYTES - 1))
    assert writer.told == []

    writer.write(b"1")

    assert writer.told == ["pause"]


def test_one_message_larger_than_the_limit_is_held() -> None:
    channel = Channel()
    Writer(channel).write(bytes(MAX_BYTES + 1))

    assert [len(payload) for payload in Reader(channel).payloads] == [MAX_BYTES + 1]


def test_a_reader_without_room_gets_no_more_until_it_says_so() -> None:
    channel = Channel()
    writer = Writer(channel)
    reader = Reader(channel, room=2)
    writer.write(*numbered(5))
    assert reader.payloads == numbered(2)

    reader.make_room(2)
    assert reader.payloads == numbered(4)
    channel.end_writing()
    assert reader.ending is None
    reader.make_room(2)

    assert reader.payloads == numbered(5)
    assert reader.ending == (COMPLETE, "")


def test_a_writer_is_stopped_when_its_reader_leaves() -> None:
    over: list[str] = []
    channel = Channel(over=lambda: over.append("over"))
    writer = Writer(channel)
    reader = Reader(channel, room=1)
    writer.write(*numbered(3))

    channel.end_reading()
    writer.write(b"dropped")
    channel.end_writing()

    assert writer.told == ["stop"]
    assert reader.payloads == [b"0"]
    assert reader.ending is None
    assert over == ["over"]


def test_a_reader_that_leaves_while_it_takes_gets_no_more() -> None:
    channel = Channel()
    Writer(channel).write(*numbered(3))

    class Leaver(Reader):
        def take(self, is_text: bool, payload: bytes) -> bool:
            super().take(is_text, payload)
            channel.end_reading()
            return True

    assert Leaver(channel).payloads == [b"0"]


def test_each_end_is_taken_once() -> None:
    channel = Channel()
    assert (Writer(channel).has_end, Reader(channel).has_end) == (True, True)
    assert (Writer(channel).has_end, Reader(channel).has_end) == (False, False)


async def test_a_channel_is_found_by_id_and_key() -> None:
    channels, (created,) = await open_channels()

    assert str(uuid.UUID(created.id)) == created.id
    assert channels.find(created.id, created.key) is created
    assert channels.find(created.id, "wrong") is None
    assert channels.find(created.id, "schlüssel") is None
    assert channels.find("unknown", created.key) is None
    channels.close()


async def test_a_channel_that_is_over_is_forgotten() -> None:
    channels, (created,) = await open_channels()
    channel = created.channel("read")
    Reader(channel)
    Writer(channel)

    channel.end_writing()

    assert channels.find(created.id, created.key) is None
    channels.close()


async def test_a_worker_has_a_limited_number_of_channels() -> None:
    channels, made = await open_channels("greedy", MAX_CHANNELS_OF_WORKER)

    with pytest.raises(ChannelLimitReached, match="this worker has 1024 open channels"):
        channels.create("greedy")
    channels.create("modest")
    made[0].channel("read").close(COMPLETE, "")
    channels.create("greedy")
    channels.close()


async def test_the_engine_has_a_limited_number_of_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.core.channels.MAX_CHANNELS", 3)
    channels, _ = await open_channels("one", 3)

    with pytest.raises(ChannelLimitReached, match="the engine has 3 open channels"):
        channels.create("two")
    channels.close()


async def test_an_owner_takes_its_unused_channels_along() -> None:
    channels, (used, half, unused) = await open_channels("worker", 3)
    others = channels.create("other")
    Writer(used.channel("write"))
    reader = Reader(used.channel("read"))
    writer = Writer(half.channel("write"))

    channels.owner_left("worker")

    assert reader.ending is None
    assert writer.told == ["stop"]
    found = [channels.find(each.id, each.key) for each in (used, half, unused, others)]
    assert found == [used, None, None, others]
    channels.close()


async def test_the_sweep_ends_old_channels_of_which_an_end_was_never_taken() -> None:
    now = [0.0]
    channels = Channels(clock=lambda: now[0])
    used, half = channels.create("w"), channels.create("w")
    Writer(used.channel("write"))
    Reader(used.channel("read"))
    reader = Reader(half.channel("read"))
    now[0] = UNTAKEN_S - 1
    young = channels.create("w")
    channels.sweep()
    assert not reader.has_ended

    now[0] = UNTAKEN_S
    channels.sweep()

    assert reader.ending == (1013, "the other end was not taken within 300 s")
    found = [channels.find(each.id, each.key) for each in (used, half, young)]
    assert found == [used, None, young]
    channels.close()


async def test_a_stopping_engine_ends_all_channels() -> None:
    channels, (created,) = await open_channels()
    channel = created.channel("read")
    writer, reader = Writer(channel), Reader(channel)

    channels.close()

    assert writer.told == ["stop"]
    assert reader.ending == (1012, "engine stops")
    assert channels.find(created.id, created.key) is None


def test_keys_do_not_repeat() -> None:
    channels = Channels()

    keys = {channels.new_key() for _ in range(1000)}

    assert len(keys) == 1000
    assert {len(key) for key in keys} == {32}
