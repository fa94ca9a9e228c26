"""The two sides of a call: a caller that keeps calls in flight, and a worker that answers them.

Both learn the shapes of the frames they get: a frame without its invocation id, and without what
nobody checks. The first frame of a shape is read and checked; all later ones of the shape are known
by comparison, many at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from time import perf_counter
from typing import Final

from tests.bench.connection import Connection, Loop
from tests.bench.frames import (
    ID_LENGTH,
    Template,
    find_invocation_id,
    find_value,
    message_frame,
    result_template,
)
from tests.bench.ledger import Ledger
from tests.bench.pace import Pace

# Larger payloads are handed to the kernel where they lie instead of being joined to a frame.
_JOINED_BYTES: Final = 16 * 1024
_TRAFFIC_BUFFER_BYTES: Final = 256 * 1024
_SAMPLE_BYTES: Final = 400
# A worker with so many shapes gets calls of which no two are alike, as those of HTTP requests are
# (each has channels of its own): it would keep every one of them and meet none again.
_MAX_SHAPES: Final = 256
# The end of a shape to which all of a message belongs.
_WHOLE: Final = 1 << 30

Message = dict[str, object]
"""A message of a worker that is sent once."""


class Caller:
    """A worker that only calls: it keeps `depth` calls in flight and accounts for every answer.

    Args:
        templates: the calls, taken in turn and without an end.
        expected: the JSON text of every result, or those that it may be, or their beginnings;
            None if there must be no result and no error.
    """

    def __init__(
        self,
        loop: Loop,
        port: int,
        templates: Iterable[Template],
        expected: bytes | tuple[bytes, ...] | None,
        depth: int,
    ) -> None:
        self.connection = Connection(loop, port, self, buffer_bytes=_TRAFFIC_BUFFER_BYTES)
        self.ledger = Ledger()
        self.failed = 0
        self.first_failure = b""
        self._templates: Iterator[Template] = iter(templates)
        self._expected = (expected,) if isinstance(expected, bytes) else expected
        self._depth = depth
        self._id_at = 0
        self._checked_end = _WHOLE
        self._right_shapes: set[bytes] = set()

    def start(self, calls: int | None = None) -> None:
        """Begin to call, without an end or until so many more calls were made."""
        self.ledger.open(calls)
        self._call(self._depth)

    def stop(self) -> None:
        """Make no more calls."""
        self.ledger.close()

    def call_in_turn(self, templates: Sequence[Template]) -> None:
        """Make the following calls with these templates, over and over."""
        self._templates = cycle(templates)

    def forget_failures(self) -> None:
        """Forget answers with an error: the function was not registered yet."""
        self.failed = 0
        self.first_failure = b""

    def receive_run(self, frames: bytes, size: int, header: int) -> None:
        """Take answers of one size: account for them, and make as many calls."""
        call_ids, shapes = split_run(frames, size, header, self._id_at, self._checked_end)
        if self._right_shapes.issuperset(shapes):
            self._settle(call_ids)
            return
        for start in range(header, len(frames), size):
            self.receive(frames, start, start + size - header)

    def receive(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Take an answer, and check what it carries; other messages are left alone."""
        id_at = find_invocation_id(buffer, start, end)
        if id_at < 0:
            return
        checked_end = self._check(buffer, start, end)
        if checked_end < 0:
            self.failed += 1
            sample = bytes(buffer[start : min(end, start + _SAMPLE_BYTES)])
            self.first_failure = self.first_failure or sample
        elif end - start <= _JOINED_BYTES:
            # What follows, such as a counter, may be another in each answer.
            self._checked_end = _WHOLE if checked_end < id_at else checked_end - start
            self._id_at = id_at - start
            self._right_shapes.add(shape(buffer, start, id_at, min(end, start + self._checked_end)))
        self._settle([bytes(buffer[id_at : id_at + ID_LENGTH])])

    def _check(self, buffer: bytes | bytearray, start: int, end: int) -> int:
        """Return where that ends which makes an answer right, or -1 if it is wrong."""
        value_at = find_value(buffer, b'"result":', start, end)
        if self._expected is None:
            is_right = value_at < 0 and find_value(buffer, b'"error":', start, end) < 0
            return start + _WHOLE if is_right else -1
        if value_at < 0:
            return -1
        for beginning in self._expected:
            if buffer.startswith(beginning, value_at, end):
                return value_at + len(beginning)
        return -1

    def _settle(self, call_ids: list[bytes]) -> None:
        """Account for answers, and replace the calls that they ended by new ones."""
        self._call(self.ledger.settle(call_ids))

    def _call(self, count: int) -> None:
        send_frames(self.connection, self._templates, self.ledger.issue(count))


class PacedCaller(Caller):
    """A worker that calls at a steady rate: each call leaves when it is due.

    How long an answer took is counted from when the call left, which is late by what the turn of
    the loop took that was under way when it became due.

    Args:
        templates, expected: as those of a `Caller`.
    """

    def __init__(
        self,
        loop: Loop,
        port: int,
        templates: Iterable[Template],
        expected: bytes,
        calls_per_s: float,
    ) -> None:
        super().__init__(loop, port, templates, expected, depth=0)
        self._pace = Pace(calls_per_s)

    def call_due(self) -> None:
        """Make the calls that are due; to be called before every turn of the loop."""
        self._call(self._pace.due(perf_counter()))

    def _settle(self, call_ids: list[bytes]) -> None:
        """Account for answers; no call takes their place."""
        self.ledger.settle(call_ids)


class Worker:
    """A worker that serves: it registers functions and triggers, and answers every call alike.

    Args:
        functions: the ids it registers when it is connected.
        triggers: the messages of the triggers that it registers after them.
        result: the JSON text of every answer.
        expected: the JSON text that each call must carry, or None to accept any.

    Attributes:
        served: how many calls it has answered; `spoiled` those with another payload.
    """

    def __init__(
        self,
        loop: Loop,
        port: int,
        functions: Sequence[str],
        result: bytes,
        *,
        triggers: Sequence[Message] = (),
        expected: bytes | None = None,
        type_last: bool = False,
        buffer_bytes: int = _TRAFFIC_BUFFER_BYTES,
    ) -> None:
        self.spoiled = 0
        self.served = 0
        self._functions = functions
        self._triggers = triggers
        self._result = result
        self._expected = expected
        self._type_last = type_last
        self._id_at = 0
        self._answer_of_shape: dict[bytes, Template] = {}
        self._answer_of_function: dict[bytes, Template] = {}
        self.connection = Connection(
            loop, port, self, on_open=self._register, buffer_bytes=buffer_bytes
        )

    def receive_run(self, frames: bytes, size: int, header: int) -> None:
        """Answer calls of one size."""
        answers = self._answer_of_shape
        if len(answers) >= _MAX_SHAPES:
            for start in range(header, len(frames), size):
                self.receive(frames, start, start + size - header)
            return
        call_ids, shapes = split_run(frames, size, header, self._id_at)
        try:
            templates = [answers[shape] for shape in shapes]
        except KeyError:
            for start in range(header, len(frames), size):
                self.receive(frames, start, start + size - header)
            return
        self.served += len(call_ids)
        send_frames(self.connection, templates, call_ids)

    def receive(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Answer a call, and check what it carries; other messages are left alone."""
        id_at = find_invocation_id(buffer, start, end)
        name_at = find_value(buffer, b'"function_id":"', start, end)
        if id_at < 0 or name_at < 0:
            return
        template = self._answer(bytes(buffer[name_at : buffer.index(b'"', name_at)]))
        data_at = find_value(buffer, b'"data":', start, end)
        if self._expected is not None and not buffer.startswith(self._expected, data_at, end):
            self.spoiled += 1
        elif end - start <= _JOINED_BYTES and len(self._answer_of_shape) < _MAX_SHAPES:
            self._id_at = id_at - start
            self._answer_of_shape[shape(buffer, start, id_at, end)] = template
        self.served += 1
        send_frames(self.connection, [template], [bytes(buffer[id_at : id_at + ID_LENGTH])])

    def _answer(self, function_id: bytes) -> Template:
        """Return the answer of a function, built once: it may be large."""
        template = self._answer_of_function.get(function_id)
        if template is None:
            template = result_template(function_id, self._result, type_last=self._type_last)
            self._answer_of_function[function_id] = template
        return template

    def _register(self) -> None:
        """Send what an SDK sends on a connection: functions, triggers, what the worker is."""
        messages: list[Message] = [
            *(registration(function_id) for function_id in self._functions),
            *self._triggers,
            _WORKER_METADATA,
        ]
        self.connection.send([message_frame(message) for message in messages])


# The version decides how large a message the engine sends to a worker: this one reads 64 MiB.
_WORKER_METADATA: Final[Message] = {
    "type": "invokefunction",
    "function_id": "engine::workers::register",
    "data": {"runtime": "python", "version": "0.25.0", "name": "bench", "os": "linux", "pid": 1},
    "action": {"type": "void"},
}


def shape(buffer: bytes | bytearray, start: int, id_at: int, end: int) -> bytes:
    """Return a message without its invocation id."""
    return bytes(buffer[start:id_at] + buffer[id_at + ID_LENGTH : end])


def split_run(
    frames: bytes, size: int, header: int, id_at: int, shape_end: int = _WHOLE
) -> tuple[list[bytes], list[bytes]]:
    """Return the invocation ids and the shapes of a run of frames.

    Args:
        frames: text frames of `size` bytes each, with headers of `header` bytes.
        id_at: where the id of each message stands, from the beginning of the message.
        shape_end: where its shape ends, likewise; what follows may be anything.
    """
    before, after, stop = header + id_at, header + id_at + ID_LENGTH, len(frames)
    end = min(size, header + shape_end)
    if size == stop:
        return [frames[before:after]], [frames[header:before] + frames[after:end]]
    call_ids = [frames[start : start + ID_LENGTH] for start in range(before, stop, size)]
    shapes = [
        frames[start + header : start + before] + frames[start + after : start + end]
        for start in range(0, stop, size)
    ]
    return call_ids, shapes


def registration(function_id: str) -> Message:
    """Return the message that offers a function."""
    return {"type": "registerfunction", "id": function_id}


def http_trigger(method: str, path: str, function_id: str) -> Message:
    """Return the message that binds a function to requests of one path."""
    return _trigger("api", function_id, {"api_path": path, "http_method": method})


def subscription(topic: str, function_id: str) -> Message:
    """Return the message that binds a function to the messages of a topic."""
    return _trigger("subscribe", function_id, {"topic": topic})


def queue_trigger(topic: str, function_id: str, options: Message) -> Message:
    """Return the message that subscribes a function to a topic of queued messages.

    Args:
        options: its `queue_config`, such as the concurrency.
    """
    return _trigger("queue", function_id, {"topic": topic, "queue_config": options})


def cron_trigger(expression: str, function_id: str, schedule_id: str) -> Message:
    """Return the message that lets the clock call a function by a schedule of this id."""
    return _trigger("cron", function_id, {"expression": expression, "schedule_id": schedule_id})


def _trigger(trigger_type: str, function_id: str, config: Message) -> Message:
    return {
        "type": "registertrigger",
        "id": str(uuid.uuid4()),
        "trigger_type": trigger_type,
        "function_id": function_id,
        "config": config,
    }


def send_frames(
    connection: Connection, templates: Iterable[Template], call_ids: list[bytes]
) -> None:
    """Send a frame for each id: small ones joined, the payload of a large one without a copy."""
    pieces: list[bytes] = []
    for call_id, (head, tail) in zip(call_ids, templates, strict=False):
        if len(head) + len(tail) <= _JOINED_BYTES:
            pieces.append(head + call_id + tail)
        else:
            pieces += (head, call_id, tail)
    connection.send(pieces)
