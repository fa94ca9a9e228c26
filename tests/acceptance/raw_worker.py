"""A worker without an SDK: it speaks the protocol frame by frame and drives the tests."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

CALL_LIMIT_S: Final = 15

Frame = dict[str, Any]
Handler = Callable[[Any], Any]


class CallFailed(Exception):
    """A call was answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: str = error["code"]
        self.message: str = error["message"]


class RawWorker:
    """A connection to the engine; a thread reads it and resolves the waiting calls.

    `frames` keeps what arrived and was neither an answer nor a call of a served function.
    """

    def __init__(self, url: str) -> None:
        self.frames: list[Frame] = []
        self._calls: dict[str, Future[Any]] = {}
        self._handlers: dict[str, Handler] = {}
        self._stack = ExitStack()
        self._connection = self._stack.enter_context(
            connect(url, max_size=None, ping_interval=None, open_timeout=15)
        )
        self._reader = threading.Thread(target=self._read, name="raw worker", daemon=True)
        self._reader.start()
        self.send(
            {
                "type": "invokefunction",
                "function_id": "engine::workers::register",
                "data": {"name": f"raw worker {uuid.uuid4()}", "runtime": "raw"},
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the engine gracefully."""
        self._stack.close()
        self._reader.join(10)

    def kill(self) -> None:
        """Drop the connection without a close frame, as a process that dies does."""
        self._connection.socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(10)

    @property
    def close_code(self) -> int | None:
        """The code of the engine's close frame; 1006 if there was none; None while open."""
        return self._connection.close_code

    def send(self, frame: Frame | str | bytes) -> None:
        """Send one frame; a str or bytes goes out as it is, well-formed or not."""
        self._connection.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    def start_call(self, function_id: str, data: Any = None, **fields: Any) -> Future[Any]:
        """Call a function and return the future of its result."""
        invocation_id = str(uuid.uuid4())
        future: Future[Any] = Future()
        self._calls[invocation_id] = future
        call = {"type": "invokefunction", "invocation_id": invocation_id}
        self.send({**call, "function_id": function_id, "data": data, **fields})
        return future

    def call(self, function_id: str, data: Any = None, limit_s: float = CALL_LIMIT_S) -> Any:
        """Call a function and return its result; None if it answered without one.

        Raises:
            CallFailed: the answer was an error.
            TimeoutError: there was no answer within `limit_s`.
        """
        return self.start_call(function_id, data).result(limit_s)

    def serve(self, function_id: str, handler: Handler) -> None:
        """Register a function; its handler runs in the reading thread and must not call."""
        self._handlers[function_id] = handler
        self.send({"type": "registerfunction", "id": function_id})

    def bind(self, trigger_type: str, function_id: str, config: Any) -> str:
        """Register a trigger and return its id."""
        trigger = {"id": str(uuid.uuid4()), "trigger_type": trigger_type}
        self.send(
            {"type": "registertrigger", **trigger, "function_id": function_id, "config": config}
        )
        return trigger["id"]

    def unbind(self, trigger_id: str) -> None:
        """Take a trigger away again."""
        self.send({"type": "unregistertrigger", "id": trigger_id})

    def frames_of(self, kind: str) -> list[Frame]:
        """Return the kept frames of one type."""
        return [frame for frame in self.frames if frame["type"] == kind]

    def _read(self) -> None:
        try:
            for message in self._connection:
                self._handle(json.loads(message))
        except ConnectionClosed:
            pass
        for future in self._calls.values():
            if not future.done():
                future.set_exception(ConnectionError("the engine closed the connection"))

    def _handle(self, frame: Frame) -> None:
        kind = frame["type"]
        if kind == "invocationresult" and frame["invocation_id"] in self._calls:
            future = self._calls.pop(frame["invocation_id"])
            if error := frame.get("error"):
                future.set_exception(CallFailed(error))
            else:
                future.set_result(frame.get("result"))
        elif kind == "invokefunction" and frame["function_id"] in self._handlers:
            result = self._handlers[frame["function_id"]](frame["data"])
            answer = {"type": "invocationresult", "invocation_id": frame["invocation_id"]}
            self.send({**answer, "function_id": frame["function_id"], "result": result})
        else:
            self.frames.append(frame)
