"""Jobs that push bytes: through a data channel, and through an HTTP route and its worker."""

from __future__ import annotations

import time
from time import perf_counter
from typing import Any, Final

import orjson

from tests.bench.connection import Connection, Loop
from tests.bench.frames import Opcode, client_header, message_frame, result_template
from tests.bench.http_body import HttpExchange
from tests.bench.jobs import ChannelJob, TransferJob, TransferResult
from tests.bench.measuring import READY_LIMIT_S, TURN_S, JobFailed, await_all
from tests.bench.one_call import ask
from tests.bench.procfs import cpu_seconds, memory
from tests.bench.traffic import Message, http_trigger, registration

CHUNK_BYTES: Final = 64 * 1024
"""The size of the pieces of a body, as SDKs cut them."""

# Frames that wait for the socket of a sender: enough to keep it busy, few enough to be no load.
_QUEUED_FRAMES: Final = 8
_BUFFER_BYTES: Final = 1 << 20
_SAMPLE_INTERVAL_S: Final = 0.1
_STALL_LIMIT_S: Final = 30.0
_PATH: Final = "/bench/transfer"
_FUNCTION: Final = "bench::transfer"


class Sender:
    """The writing end of a channel: sends frames until it is told to stop, or so many bytes.

    Args:
        frame: one frame, sent again and again.
        size: bytes in the frame.
        limit: bytes after which it closes the channel; None for no end.
    """

    def __init__(
        self,
        loop: Loop,
        port: int,
        reference: Any,
        frame: bytes,
        size: int,
        limit: int | None = None,
    ) -> None:
        self.sent = 0
        self._frame = frame
        self._size = size
        self._limit = limit
        self.connection = Connection(loop, port, self, path=channel_path(reference))

    def refill(self) -> None:
        """Send more, if the socket has room; to be called after every turn of the loop."""
        if not self.connection.is_open or self._limit == self.sent:
            return
        frames = _QUEUED_FRAMES - self.connection.unsent_pieces
        if self._limit is not None:
            frames = min(frames, (self._limit - self.sent) // self._size)
        if frames > 0:
            self.sent += frames * self._size
            self.connection.send([self._frame] * frames)
        if self._limit == self.sent:
            self.connection.finish()

    def receive_run(self, frames: bytes, size: int, header: int) -> None:
        """Nothing comes this way."""

    def receive(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Nothing comes this way."""


class Counter:
    """The reading end of a channel: counts bytes, and compares them if it knows the frame.

    Attributes:
        received: bytes so far.
        is_wrong: whether a frame was another one.
        is_over: whether the channel was closed.
    """

    def __init__(
        self, loop: Loop, port: int, reference: Any, expected: bytes | None = None
    ) -> None:
        self.received = 0
        self.is_wrong = False
        self.is_over = False
        self._expected = expected
        self.connection = Connection(
            loop,
            port,
            self,
            path=channel_path(reference),
            is_binary=True,
            on_close=self._on_close,
            buffer_bytes=_BUFFER_BYTES,
        )

    def receive_run(self, frames: bytes, size: int, header: int) -> None:
        """Count small frames."""
        for start in range(header, len(frames), size):
            self.receive(frames, start, start + size - header)

    def receive(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Count one frame."""
        self.received += end - start
        expected = self._expected
        if expected is not None and not (
            end - start == len(expected) and buffer.startswith(expected, start)
        ):
            self.is_wrong = True

    def _on_close(self) -> None:
        self.is_over = True


def channel_path(reference: Any) -> str:
    """Return the path of the end of a channel that a reference names."""
    return (
        f"/ws/channels/{reference['channel_id']}?key={reference['access_key']}"
        f"&dir={reference['direction']}"
    )


def chunk(size: int) -> bytes:
    """Return bytes in which nothing is repeated within 256 of them."""
    return bytes(range(256)) * (size // 256)


def binary_frame(data: bytes) -> bytes:
    """Return the frame that carries data."""
    return client_header(len(data), Opcode.BINARY) + data


class Gauge:
    """Takes the memory of a process from time to time, and its processor time from the start."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._most = memory(pid).rss_kib
        self._cpu_s = cpu_seconds(pid)
        self._load_cpu_s = time.process_time()
        self._started = self._sampled = perf_counter()

    def sample(self) -> None:
        """Look at the memory, if the last look was long enough ago."""
        now = perf_counter()
        if now - self._sampled >= _SAMPLE_INTERVAL_S:
            self._sampled = now
            self._most = max(self._most, memory(self._pid).rss_kib)

    def result(self, size: int) -> TransferResult:
        """Summarise the transfer of so many bytes."""
        seconds = perf_counter() - self._started
        return TransferResult(
            size=size,
            seconds=seconds,
            cpu_s=cpu_seconds(self._pid) - self._cpu_s,
            load_cpu_s=time.process_time() - self._load_cpu_s,
            rss_before_kib=self._before,
            rss_most_kib=max(self._most, memory(self._pid).rss_kib),
        )


def run_channel(job: ChannelJob) -> TransferResult:
    """Measure how fast one channel carries frames from one connection to another."""
    loop = Loop()
    ends = ask(loop, job.port, "engine::channels::create", b"{}")
    data = chunk(job.frame_bytes)
    sender = Sender(loop, job.port, ends["writer"], binary_frame(data), len(data))
    counter = Counter(loop, job.port, ends["reader"], expected=data)
    await_all(loop, lambda: sender.connection.is_open and counter.connection.is_open, "are open")
    _pass_for(loop, sender, job.warmup_s)
    received, gauge = counter.received, Gauge(job.pid)
    _pass_for(loop, sender, job.seconds, gauge)
    result = gauge.result(counter.received - received)
    sender.connection.finish()
    await_all(loop, lambda: counter.is_over, "are closed")
    if counter.received != sender.sent or counter.is_wrong:
        raise JobFailed(f"{sender.sent} bytes were sent, {counter.received} came, or others did")
    loop.close()
    return result


def run_transfer(job: TransferJob) -> TransferResult:
    """Measure one body on its way from an HTTP client to the worker of its route, or back."""
    loop = Loop()
    worker = TransferWorker(loop, job)
    await_all(loop, lambda: worker.connection.is_open, "are open")
    _await_route(loop, job)
    gauge = Gauge(job.pid)
    piece = chunk(CHUNK_BYTES)
    if job.direction == "upload":
        exchange = HttpExchange(loop, job.http_port, _post(job.size), piece, job.size)
    else:
        exchange = HttpExchange(loop, job.http_port, _request("GET", _PATH))
    _pass_until_over(loop, worker, exchange, gauge)
    result = gauge.result(job.size)
    answer = exchange.answer
    came = worker.received if job.direction == "upload" else answer.received
    if answer.status != 200 or came != job.size:
        beginning = answer.beginning.decode(errors="replace")
        raise JobFailed(f"{came} of {job.size} bytes came, answer {answer.status}: {beginning}")
    loop.close()
    return result


class TransferWorker:
    """The worker behind the route: counts what comes, or writes what is asked for.

    Attributes:
        received: bytes of the body that have come.
    """

    def __init__(self, loop: Loop, job: TransferJob) -> None:
        self._loop = loop
        self._job = job
        self._call_id = b""
        self._counter: Counter | None = None
        self._sender: Sender | None = None
        self.connection = Connection(loop, job.port, self, on_open=self._register)

    @property
    def received(self) -> int:
        """Bytes of the body so far."""
        return self._counter.received if self._counter is not None else 0

    def work(self) -> None:
        """Write more, or answer; to be called after every turn of the loop."""
        if self._counter is not None and self._counter.is_over:
            self._answer(b'{"status_code":200,"body":{"received":%d}}' % self._counter.received)
        elif self._sender is not None:
            self._sender.refill()
            if self._sender.sent == self._job.size:
                self._answer(b"null")

    def receive_run(self, frames: bytes, size: int, header: int) -> None:
        """Look through small messages."""
        for start in range(header, len(frames), size):
            self.receive(frames, start, start + size - header)

    def receive(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Take the call that the request has become."""
        message = orjson.loads(buffer[start:end])
        if message["type"] != "invokefunction":
            return
        self._call_id = message["invocation_id"].encode()
        data = message["data"]
        if data["method"] == "POST":
            self._counter = Counter(self._loop, self._job.port, data["request_body"])
        else:
            frame = binary_frame(chunk(CHUNK_BYTES))
            self._sender = Sender(
                self._loop, self._job.port, data["response"], frame, CHUNK_BYTES, self._job.size
            )

    def _answer(self, result: bytes) -> None:
        if self._call_id:
            head, tail = result_template(_FUNCTION.encode(), result)
            self.connection.send([head + self._call_id + tail])
            self._call_id = b""

    def _register(self) -> None:
        method = "POST" if self._job.direction == "upload" else "GET"
        messages: list[Message] = [
            registration(_FUNCTION),
            http_trigger(method, _PATH, _FUNCTION),
        ]
        self.connection.send([message_frame(message) for message in messages])


def _pass_for(loop: Loop, sender: Sender, seconds: float, gauge: Gauge | None = None) -> None:
    deadline = perf_counter() + seconds
    while perf_counter() < deadline:
        loop.turn(TURN_S)
        sender.refill()
        if gauge is not None:
            gauge.sample()


def _pass_until_over(
    loop: Loop, worker: TransferWorker, exchange: HttpExchange, gauge: Gauge
) -> None:
    """Serve the loop until the answer is whole.

    Raises:
        JobFailed: nothing moves any more.
    """
    progress, last = -1, perf_counter()
    while not exchange.answer.is_over:
        loop.turn(TURN_S)
        worker.work()
        gauge.sample()
        moved = worker.received + exchange.answer.received
        if moved != progress:
            progress, last = moved, perf_counter()
        elif perf_counter() > last + _STALL_LIMIT_S:
            raise JobFailed(f"nothing moves any more after {moved} bytes")


def _await_route(loop: Loop, job: TransferJob) -> None:
    """Ask for the route with another method until the engine knows it: 405 instead of 404."""
    deadline = perf_counter() + READY_LIMIT_S
    status = 0
    while status != 405:
        if perf_counter() > deadline:
            raise JobFailed(f"the route is not served: {status}")
        probe = HttpExchange(loop, job.http_port, _request("DELETE", _PATH))
        while not probe.answer.is_over:
            loop.turn(TURN_S)
        status = probe.answer.status


def _request(method: str, path: str, *fields: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _post(size: int) -> bytes:
    return _request(
        "POST", _PATH, f"Content-Length: {size}", "Content-Type: application/octet-stream"
    )
