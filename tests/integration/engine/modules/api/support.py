"""An HTTP client without sockets and a worker that answers by itself."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from engine.core.engine import Engine
from engine.core.listeners import EXCHANGE, ASGIApp, Message, Scope
from engine.core.outgoing import Outgoing
from tests.fakes import FakeOutbox, FakeWorker

LIMIT_S: Final = 5.0

HOLD: Final = object()
"""What a handler returns to be answered later, by the test, or never."""

Handler = Callable[[Any], Any]


class HandlerError(Exception):
    """What a handler raises to answer with an error."""


@dataclass(frozen=True)
class Answer:
    """What the client got; header names are unique except where `all` is asked."""

    status: int
    raw_headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.raw_headers)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.raw_headers if each == name]


class FakeExchange:
    """Takes one whole response, as servers with exchanges do."""

    is_open = True

    def __init__(self, body: bytes | None) -> None:
        self._body = body
        self.response: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def whole_body(self) -> bytes | None:
        return self._body

    def begin_to_wait(self) -> None:
        """Do nothing: the client's `receive` can wait at any time."""

    def abort(self) -> None:
        raise AssertionError("these answers do not stream")

    def respond(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        more_headers: bytes = b"",
    ) -> None:
        lines = more_headers.decode().splitlines()
        more = tuple((name, text) for name, _, text in (line.partition(": ") for line in lines))
        self.response.set_result(Answer(status, decoded(headers) + more, body))


def decoded(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode(), value.decode()) for name, value in headers)


class Client:
    """Speaks to an ASGI application as a server would.

    Args:
        app: the application.
        has_exchange: offer an `Exchange`, as picows and uvicorn do and daphne does not.
    """

    def __init__(self, app: ASGIApp, *, has_exchange: bool = False) -> None:
        self.app = app
        self._has_exchange = has_exchange

    async def get(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.request("GET", target, headers)

    async def post(self, target: str, value: Any) -> Answer:
        body = json.dumps(value).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        return await self.request("POST", target, headers, [body])

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        chunks: Iterable[bytes] = (),
        *,
        leaves: bool = False,
    ) -> Answer:
        """Send one request; a client that `leaves` is gone after its last chunk."""
        parts = list(chunks)
        is_complete = bool(parts) or "content-length" not in (headers or ())
        sent: list[Message] = []

        async def receive() -> Message:
            if not parts and not leaves and is_complete:
                await asyncio.Event().wait()
            if not parts:
                return {"type": "http.disconnect"}
            body = parts.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(parts) or leaves}

        async def send(message: Message) -> None:
            sent.append(message)

        asked = scope(method, target, headers or {})
        if self._has_exchange:
            has_more = (
                leaves or len(parts) > 1 or (not parts and "content-length" in (headers or ()))
            )
            exchange = FakeExchange(None if has_more else b"".join(parts))
            asked["extensions"] = {EXCHANGE: exchange}
            async with asyncio.timeout(LIMIT_S):
                await self.app(asked, receive, send)
                return Answer(0, (), b"") if leaves else await exchange.response
        async with asyncio.timeout(LIMIT_S):
            await self.app(asked, receive, send)
        if leaves and not sent:
            return Answer(0, (), b"")
        start, body = sent
        assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
        return Answer(start["status"], decoded(start["headers"]), body["body"])


def scope(method: str, target: str, headers: Mapping[str, str]) -> Scope:
    """Return the ASGI scope of a request."""
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
    }


class HttpWorker(FakeWorker):
    """A worker whose functions are Python callables: payload in, result out.

    Attributes:
        calls: every payload by function id.
        invocations: every call as the engine sent it.
        held: the invocations that a handler left for the test to answer.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.calls: dict[str, list[Any]] = {}
        self.invocations: list[dict[str, Any]] = []
        self.held: list[dict[str, Any]] = []
        self._handlers: dict[str, Handler] = {}
        self._trigger_ids = itertools.count(1)
        self.outbox: FakeOutbox = _AnsweringOutbox(self._serve)
        self.session.outbox = self.outbox

    def serve(self, function_id: str, handler: Handler) -> None:
        """Offer a function."""
        self._handlers[function_id] = handler
        self.function(function_id)

    def route(
        self,
        path: str,
        handler: Handler,
        *,
        method: str | None = None,
        trigger_type: str = "api",
        **config: Any,
    ) -> str:
        """Offer a function and a route for it; return the id of the trigger."""
        trigger_id = f"{id(self)}-{next(self._trigger_ids)}"
        function_id = f"f::{trigger_id}"
        self.serve(function_id, handler)
        if method is not None:
            config["http_method"] = method
        self.trigger(trigger_id, trigger_type, function_id, config={"api_path": path, **config})
        return trigger_id

    def unregister(self, trigger_id: str) -> None:
        """Take a trigger back."""
        self.send("unregistertrigger", id=trigger_id)

    def _serve(self, frame: bytes) -> None:
        invocation = json.loads(frame)
        function_id, payload = invocation["function_id"], invocation["data"]
        self.calls.setdefault(function_id, []).append(payload)
        self.invocations.append(invocation)
        try:
            result = self._handlers[function_id](payload)
        except HandlerError as error:
            self.error(invocation, {"code": "handler_error", "message": str(error)})
            return
        if result is HOLD:
            self.held.append(invocation)
        else:
            self.result(invocation, result)


class _AnsweringOutbox(FakeOutbox):
    def __init__(self, serve: Callable[[bytes], None]) -> None:
        super().__init__()
        self._serve = serve

    def offer(self, frame: Outgoing) -> bool:
        asyncio.get_running_loop().call_soon(self._serve, bytes(frame))
        return True


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something has happened."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0)


def ok(value: Any = None) -> Handler:
    """Return a handler that answers 200 with this body."""
    return lambda _: {"status_code": 200, "body": value}


def hold(_: Any) -> Any:
    """Handle a call by leaving it to the test."""
    return HOLD


def fail(_: Any) -> Any:
    """Handle a call by failing."""
    raise HandlerError("secret reason")
