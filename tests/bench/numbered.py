"""Messages that carry a number, and the worker that knows by it what has come, and in which order.

A message that is delivered out of a queue comes with metadata of its own, so that no two frames
are alike: what is compared is what surrounds the number, and where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Final

from tests.bench.connection import Loop
from tests.bench.frames import ID_LENGTH, Template, call_template, find_invocation_id, find_value
from tests.bench.traffic import Message, Worker, send_frames

_HEAD: Final = b'{"n":"'
_DIGITS: Final = 9


class NumberedPayload:
    """The JSON texts of messages: all of one size, each with its number.

    Args:
        size: of the JSON text in bytes.
    """

    def __init__(self, size: int) -> None:
        fixed = len(_HEAD) + _DIGITS + len(b'","text":""}')
        self.tail = b'","text":"' + b"x" * (size - fixed) + b'"}'

    def build(self, number: int) -> bytes:
        """Write the text of one message."""
        return b"%b%09d%b" % (_HEAD, number, self.tail)


def enqueue_templates(topic: str, payload: NumberedPayload, groups: int) -> Iterator[Template]:
    """Give the calls that put the messages 0, 1, 2 … into a topic.

    Args:
        groups: into how many message groups they go in turn; 0 for none.
    """
    place = b'{"topic":"%b",' % topic.encode()
    number = 0
    while True:
        group = b'"message_group":"g%05d",' % (number % groups) if groups else b""
        data = b'%b%b"data":%b}' % (place, group, payload.build(number))
        yield call_template("enqueue", data)
        number += 1


class Book:
    """Which messages were made, and which have come.

    Args:
        groups: message k belongs to group k modulo this; 0 for a queue that keeps no order.

    Attributes:
        arrived: different messages that have come; `repeated` those that had come before.
        disordered: messages that were not the next one of their group.
        unknown: messages that were never made.
        latencies_s: from the making of each message until it came.
    """

    def __init__(self, groups: int = 0) -> None:
        self.arrived = 0
        self.repeated = 0
        self.disordered = 0
        self.unknown = 0
        self.latencies_s: list[float] = []
        self._groups = groups
        self._next = list(range(groups))
        self._made_at: list[float] = []
        self._has_come = bytearray()

    def make(self, now: float) -> None:
        """Note when the next message was made, in seconds of `perf_counter`."""
        self._made_at.append(now)
        self._has_come.append(0)

    def take(self, numbers: Sequence[int]) -> None:
        """Note that messages have come, in this order."""
        now, made_at, has_come = perf_counter(), self._made_at, self._has_come
        for number in numbers:
            if number >= len(made_at):
                self.unknown += 1
            elif has_come[number]:
                self.repeated += 1
            else:
                has_come[number] = 1
                self.arrived += 1
                self.latencies_s.append(now - made_at[number])
                if self._groups:
                    self._check_order(number)

    def _check_order(self, number: int) -> None:
        group = number % self._groups
        self.disordered += number != self._next[group]
        self._next[group] = number + self._groups


class NumberedWorker(Worker):
    """A worker that answers every message at once, and keeps book of them.

    Attributes:
        spoiled: messages whose data is not what was put in.
    """

    def __init__(
        self,
        loop: Loop,
        port: int,
        function_id: str,
        trigger: Message,
        payload: NumberedPayload,
        book: Book,
    ) -> None:
        super().__init__(loop, port, [function_id], b"null", triggers=[trigger])
        self._function_id = function_id.encode()
        self._tail = payload.tail
        self._book = book
        # Where the id and the number stand in frames of each size.
        self._places: dict[int, tuple[int, int]] = {}

    def receive_run(self, frames: bytes, size: int, header: int) -> None:
        """Answer messages of one size."""
        places = self._places.get(size)
        if places is None or not self._take_run(frames, size, *places):
            for start in range(header, len(frames), size):
                self._take_one(frames, start, start + size - header, size, header)

    def receive(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Answer a message that is too large for a run."""
        self._take_one(buffer, start, end, 0, 0)

    def _take_run(self, frames: bytes, size: int, id_at: int, number_at: int) -> bool:
        """Take a run whose frames are laid out as those before; False if one is not."""
        head, tail = _HEAD, self._tail
        call_ids: list[bytes] = []
        numbers: list[int] = []
        for start in range(0, len(frames), size):
            at = start + number_at
            after = at + _DIGITS
            if frames[at - len(head) : at] != head or not frames.startswith(tail, after):
                return False
            numbers.append(int(frames[at:after]))
            call_ids.append(frames[start + id_at : start + id_at + ID_LENGTH])
        self._answer_all(call_ids, numbers)
        return True

    def _take_one(
        self, buffer: bytes | bytearray, start: int, end: int, size: int, header: int
    ) -> None:
        """Take one message, wherever its id and its number stand; leave other frames alone."""
        id_at = find_invocation_id(buffer, start, end)
        data_at = find_value(buffer, b'"data":', start, end)
        if id_at < 0 or buffer.find(b'"type":"invokefunction"', start, end) < 0:
            return
        number_at = data_at + len(_HEAD)
        after = number_at + _DIGITS
        is_right = buffer.startswith(_HEAD, data_at) and buffer.startswith(self._tail, after)
        self.spoiled += not is_right
        if is_right and size:
            frame = start - header
            self._places[size] = (id_at - frame, number_at - frame)
        numbers = [int(buffer[number_at:after])] if is_right else []
        self._answer_all([bytes(buffer[id_at : id_at + ID_LENGTH])], numbers)

    def _answer_all(self, call_ids: list[bytes], numbers: list[int]) -> None:
        self.served += len(call_ids)
        self._book.take(numbers)
        template = self._answer(self._function_id)
        send_frames(self.connection, [template] * len(call_ids), call_ids)
