"""The way from a Celery process to the engine: one WebSocket, many calls in flight.

The process is a client of the worker protocol that says by a token that it belongs to the engine.
A thread keeps the connection; any thread may call.
"""

from __future__ import annotations

import itertools
import logging
import os
import platform
import threading
import time
from concurrent.futures import Future
from typing import Final, NoReturn

import msgspec
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

import engine
from engine.background.token import TOKEN_HEADER
from engine.core.errors import EngineError, InvocationFailed
from engine.core.protocol import encode

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
"""Between two attempts to connect; it doubles from the first to the longest."""

SHORTEST_PAUSE_S: Final = 0.25
"""A call shows that the engine is probably there: it brings the next attempt forward to this."""

OPEN_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 1.0
PING_INTERVAL_S: Final = 20.0
"""A connection that was cut without a word is noticed by a ping without an answer."""

MAX_CALLS: Final = 1_000
"""Calls without an answer at once; more are refused."""

MAX_ANSWER_BYTES: Final = 1024 * 1024


class LinkDown(EngineError):
    """The engine was not reached, or left before it answered."""

    code = "link_down"


class CallTimeout(EngineError):
    """The engine did not answer in time."""

    code = "timeout"


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Answer(msgspec.Struct):
    """An `invocationresult`; other messages have no id that anybody waits for."""

    invocation_id: str | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class EngineLink:
    """A connection to an engine that comes back by itself.

    Args:
        url: the worker port: `ws://host:49134`.
        token: see `engine.background.token`.
        name: who this process is, for people.
    """

    def __init__(self, url: str, token: str, name: str) -> None:
        self.url = url
        self._token = token
        self._name = name
        self._ids = itertools.count(1)
        self._waiting: dict[str, Future[bytes]] = {}
        self._socket: ClientConnection | None = None
        # The same before the engine has greeted: it ends with the link, but takes no calls yet.
        self._opened: ClientConnection | None = None
        # Guards all of the above, and tells of every change of them.
        self._changed = threading.Condition()
        self._is_closed = False
        self._is_retired = False
        self._callers = 0
        self._is_outage_told = False
        self._thread: threading.Thread | None = None

    @property
    def is_up(self) -> bool:
        """Whether there is a connection now."""
        return self._socket is not None

    def start(self) -> None:
        """Begin to connect; returns at once."""
        with self._changed:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._run, name="engine-link", daemon=True)
                self._thread.start()

    def call(
        self,
        function_id: str,
        data: bytes,
        timeout_s: float,
        *,
        namespace: str | None = None,
        patience_s: float | None = None,
    ) -> bytes:
        """Call a function of the engine and wait for its result as JSON text.

        Args:
            function_id: any function, the internal ones included unless a namespace is named.
            data: the payload as JSON text.
            timeout_s: for the connection and the answer together.
            namespace: of the function; None: the default one, or none as the internal ones.
            patience_s: for the connection, if the engine was not reached lately; None: as long as
                for the answer.

        Raises:
            LinkDown: there is no connection, or it was lost meanwhile.
            CallTimeout: there was no answer in time.
            InvocationFailed: the engine answered with an error.
        """
        deadline = time.monotonic() + timeout_s
        self.start()
        call_id = str(next(self._ids))
        answer: Future[bytes] = Future()
        socket = self._wait_for_socket(call_id, answer, timeout_s, patience_s)
        try:
            socket.send(_call_frame(call_id, function_id, namespace, data), text=True)
            return answer.result(max(0.0, deadline - time.monotonic()))
        except (OSError, WebSocketException) as error:
            if isinstance(error, TimeoutError):
                raise CallTimeout(
                    f"{function_id}: {self.url} did not answer within {timeout_s:g} s"
                ) from error
            raise LinkDown(f"{function_id}: the connection to {self.url} was lost") from error
        finally:
            with self._changed:
                self._waiting.pop(call_id, None)

    def retire(self) -> None:
        """Go on as long as the connection lasts, and take its end for wanted."""
        self._is_retired = True

    def close(self) -> None:
        """End the connection; calls that wait fail."""
        with self._changed:
            self._is_closed = True
            socket = self._opened
            self._changed.notify_all()
        if socket is not None:
            socket.close()
        thread = self._thread
        if thread is not None:
            thread.join(OPEN_TIMEOUT_S)

    # --- any thread ---------------------------------------------------------------------------

    def _wait_for_socket(
        self, call_id: str, answer: Future[bytes], timeout_s: float, patience_s: float | None
    ) -> ClientConnection:
        with self._changed:
            self._callers += 1
            self._changed.notify_all()
            if patience_s is not None and self._is_outage_told:
                timeout_s = min(timeout_s, patience_s)
            try:
                self._changed.wait_for(
                    lambda: self._socket is not None or self._is_closed, timeout_s
                )
            finally:
                self._callers -= 1
            if self._socket is None or self._is_closed:
                raise LinkDown(f"there is no connection to {self.url}")
            if len(self._waiting) >= MAX_CALLS:
                raise LinkDown(f"{MAX_CALLS} calls wait for {self.url} already")
            self._waiting[call_id] = answer
            return self._socket

    # --- the link's own thread ----------------------------------------------------------------

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._is_closed:
            began = time.monotonic()
            try:
                with self._connect() as socket:
                    self._serve(socket)
            except (OSError, WebSocketException) as error:
                if self._lose(error):
                    began, pause_s = time.monotonic(), FIRST_PAUSE_S
            self._rest(began, pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _connect(self) -> ClientConnection:
        return connect(
            self.url,
            additional_headers={TOKEN_HEADER: self._token},
            compression=None,
            proxy=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_INTERVAL_S,
            max_size=MAX_ANSWER_BYTES,
        )

    def _serve(self, socket: ClientConnection) -> NoReturn:
        """Take answers until the connection is over, which is an exception."""
        with self._changed:
            if self._is_closed:
                raise ConnectionAbortedError("the link was closed meanwhile")
            self._opened = socket
        # The engine speaks first once it has taken the token; if it has not, it says so and closes.
        socket.recv(OPEN_TIMEOUT_S)
        socket.send(_introduction(self._name), text=True)
        with self._changed:
            self._socket = socket
            self._is_outage_told = False
            self._changed.notify_all()
        logger.info("reached the engine at %s", self.url)
        while True:
            self._take(socket.recv(decode=False))

    def _take(self, payload: bytes) -> None:
        try:
            answer = _decode(payload)
        except msgspec.DecodeError as error:
            logger.warning("an answer of the engine cannot be read: %s", error)
            return
        with self._changed:
            waiting = self._waiting.pop(answer.invocation_id or "", None)
        if waiting is None:  # given up meanwhile, or no answer at all
            return
        if answer.error is None:
            waiting.set_result(bytes(answer.result))
        else:
            waiting.set_exception(InvocationFailed(answer.error.code, answer.error.message))

    def _lose(self, error: Exception) -> bool:
        """Note that there is no connection, for this reason; tell whether there was one."""
        with self._changed:
            was_up = self._socket is not None
            self._socket = self._opened = None
            lost, self._waiting = self._waiting, {}
            is_told, self._is_outage_told = self._is_outage_told, True
            self._is_closed = is_closed = self._is_closed or self._is_retired
        for answer in lost.values():
            answer.set_exception(LinkDown(f"the connection to {self.url} was lost"))
        if not is_told and not is_closed:
            # In the text: the log of a Celery process shows no fields.
            logger.warning("no connection to the engine at %s, trying again: %s", self.url, error)
        return was_up

    def _rest(self, began: float, pause_s: float) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or self._callers > 0,
                max(0.0, began + pause_s - time.monotonic()),
            )
            self._changed.wait_for(
                lambda: self._is_closed, max(0.0, began + SHORTEST_PAUSE_S - time.monotonic())
            )


def _call_frame(call_id: str, function_id: str, namespace: str | None, data: bytes) -> bytes:
    frame: dict[str, object] = {
        "type": "invokefunction",
        "invocation_id": call_id,
        "function_id": function_id,
        "data": msgspec.Raw(data),
    }
    if namespace is not None:
        frame["namespace"] = namespace
    return encode(frame)


def _introduction(name: str) -> bytes:
    return encode(
        {
            "type": "invokefunction",
            "function_id": "engine::workers::register",
            "action": {"type": "void"},
            "data": {
                "runtime": "celery",
                "version": engine.__version__,
                "name": name,
                "os": platform.system().lower(),
                "pid": os.getpid(),
                "description": "executes background work of the engine",
            },
        }
    )
