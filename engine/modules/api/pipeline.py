"""What happens between a matched route and its answer: middleware, condition, handler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from engine.core.errors import EngineError
from engine.core.invocations import Reply, invocation_failed
from engine.core.listeners import Exchange, Receive
from engine.core.protocol import NULL, RESULT
from engine.core.triggers import Trigger
from engine.modules.api import body as bodies
from engine.modules.api.answer import interpret
from engine.modules.api.calls import CallTimedOut, Deadlines, Slots
from engine.modules.api.config import RestApiConfig
from engine.modules.api.errors import (
    BadStatusCode,
    CallFailed,
    HttpError,
    Response,
    condition_not_met,
)
from engine.modules.api.middleware import verdict
from engine.modules.api.request import Request
from engine.modules.api.routes import FunctionRoute

logger = logging.getLogger(__name__)

BLOCKED: Final = b"false"
MIDDLEWARE_TIMEOUT: Final = "middleware_timeout"


class FunctionCaller(Protocol):
    """What the HTTP module needs of the engine."""

    def invoke(
        self,
        function_id: str,
        data: bytes,
        *,
        traceparent: str | None = None,
        baggage: str | None = None,
    ) -> asyncio.Future[bytes | None]:
        """Call a function; JSON text in and out; fails with EngineError; may be cancelled."""

    def fire(
        self,
        trigger: Trigger,
        data: bytes,
        *,
        traceparent: str | None = None,
        baggage: str | None = None,
    ) -> asyncio.Future[bytes | None]:
        """Call the function of a trigger in the same way, in the name of its owner."""

    def fire_and_reply(
        self,
        trigger: Trigger,
        data: bytes,
        reply: Reply,
        traceparent: str | None,
        baggage: str | None,
    ) -> None:
        """Do what `fire` does, and give the outcome to `reply`."""

    def health(self) -> dict[str, Any]:
        """Say how the engine is."""


Finish: TypeAlias = Callable[["Response | Exception"], None]
"""Takes what a handler's call came to: an answer, or CallFailed or HttpError."""


class HandlerCall:
    """The call of a request's handler; holds a slot until it ends, by its answer or too late.

    Args:
        function_id: of the handler.
        slots: where its slot goes back to.
        deadlines: by which its time is limited.
        status: of the answer where the handler names none.
        finish: takes the outcome, once.
    """

    __slots__ = ("_deadlines", "_finish", "_function_id", "_slots", "_status")

    def __init__(
        self, function_id: str, slots: Slots, deadlines: Deadlines, status: int, finish: Finish
    ) -> None:
        self._function_id = function_id
        self._slots = slots
        self._deadlines = deadlines
        self._status = status
        self._finish = finish
        deadlines.watch(self)

    def reply(self, kind: bytes, value: bytes | msgspec.Raw) -> None:
        """Take the handler's answer, unless it comes too late."""
        if self._deadlines.is_met(self):
            self._end(self._outcome(kind, bytes(value)))

    def cancel(self) -> None:
        """End the call because its time is over."""
        self._end(_too_late(self._function_id, self._deadlines.timeout_s, "timeout"))

    def _outcome(self, kind: bytes, value: bytes) -> Response | Exception:
        try:
            if kind is RESULT:
                return interpret(value or None, status=self._status)
            return CallFailed(self._function_id, invocation_failed(value))
        except BadStatusCode as error:
            return CallFailed(self._function_id, error)
        except Exception as error:  # whoever called us is the reader of a worker's connection
            return error

    def _end(self, outcome: Response | Exception) -> None:
        self._slots.release()
        try:
            self._finish(outcome)
        except Exception:
            logger.exception(
                "HTTP answer could not be sent", extra={"function_id": self._function_id}
            )


class Pipeline:
    """Takes requests from their route to their answer.

    In this order: a free slot, the middleware of the config, the body, the condition, the
    route's middleware, the handler. Every call of a function has the whole `default_timeout`;
    waiting for the slot or for the body does not count.
    """

    def __init__(self, engine: FunctionCaller, config: RestApiConfig) -> None:
        self._engine = engine
        self._deadlines = Deadlines(config.default_timeout / 1000)
        self._slots = Slots(max(config.concurrency_request_limit, 1), self._deadlines)
        self._middleware = tuple(
            entry.function_id for entry in sorted(config.middleware, key=lambda each: each.priority)
        )
        self._body_limit = config.body_limit

    def close(self) -> None:
        """Stop the timer."""
        self._deadlines.close()

    def begin(
        self,
        request: Request,
        exchange: Exchange,
        route: FunctionRoute,
        values: Sequence[str],
        finish: Finish,
    ) -> bool:
        """Call the handler now if nothing has to be waited for; else return False, nothing done.

        Args:
            request: its head.
            exchange: where its body comes from.
            route: what serves it.
            values: of the path parameters, as they came.
            finish: takes the outcome.
        """
        if self._middleware or route.is_guarded:
            return False
        body: bytes | None = NULL
        if request.has_body:
            body = self._body_at_once(request, exchange, route)
        if body is None:
            return False
        payload = request.payload(route.pattern.names, values, route.described, body)
        if not self._slots.take():
            return False
        self._call_handler(request, route, payload, 200, finish)
        return True

    async def handle(
        self,
        request: Request,
        receive: Receive,
        route: FunctionRoute,
        values: Sequence[str],
        *,
        status: int = 200,
    ) -> Response:
        """Answer a request by the functions of its route.

        Args:
            request: its head.
            receive: where its body comes from.
            route: what serves it, even if it is taken out of the table meanwhile.
            values: of the path parameters, as they came.
            status: of the answer where the handler names none.

        Raises:
            HttpError: an answer of the engine's own.
            CallFailed: a function ended with an error.
            ClientGone: nobody waits any more.
        """
        slots = self._slots
        if not slots.take():
            await slots.wait()
        try:
            prepared = await self._prepare(request, receive, route, values)
        except BaseException:
            slots.release()
            raise
        if isinstance(prepared, Response):
            slots.release()
            return prepared
        done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._call_handler(request, route, prepared, status, partial(_settle, done))
        return await done

    async def _prepare(
        self, request: Request, receive: Receive, route: FunctionRoute, values: Sequence[str]
    ) -> bytes | Response:
        """Return the payload for the handler, or the answer of whoever spoke in its place."""
        if self._middleware:
            early = await self._ask_middleware(request, route, values)
            if early is not None:
                return early
        body = await self._read_body(request, receive, route) if request.has_body else NULL
        payload = request.payload(route.pattern.names, values, route.described, body)
        if route.is_guarded:
            early = await self._ask_guards(request, route, values, payload)
            if early is not None:
                return early
        return payload

    def _call_handler(
        self, request: Request, route: FunctionRoute, payload: bytes, status: int, finish: Finish
    ) -> None:
        """Call the handler, in a slot that has been taken."""
        trigger = route.trigger
        call = HandlerCall(trigger.function_id, self._slots, self._deadlines, status, finish)
        fields = request.fields
        self._engine.fire_and_reply(
            trigger, payload, call.reply, fields.get("traceparent"), fields.get("baggage")
        )

    async def _ask_middleware(
        self, request: Request, route: FunctionRoute, values: Sequence[str]
    ) -> Response | None:
        head = request.head(route.pattern.names, values)
        for function_id in self._middleware:
            future = self._engine.invoke(
                function_id,
                head,
                traceparent=request.fields.get("traceparent"),
                baggage=request.fields.get("baggage"),
            )
            result = await self._wait(future, function_id, MIDDLEWARE_TIMEOUT)
            response = _verdict(result, function_id)
            if response is not None:
                return response
        return None

    async def _ask_guards(
        self, request: Request, route: FunctionRoute, values: Sequence[str], payload: bytes
    ) -> Response | None:
        if route.condition is not None:
            result = await self._fire(request, route.condition, payload)
            if result is not None and result.strip() == BLOCKED:
                return condition_not_met()
        for trigger in route.middleware:
            head = request.head(route.pattern.names, values)
            result = await self._fire(request, trigger, head, MIDDLEWARE_TIMEOUT)
            response = _verdict(result, trigger.function_id)
            if response is not None:
                return response
        return None

    async def _read_body(self, request: Request, receive: Receive, route: FunctionRoute) -> bytes:
        content_type = request.fields.get("content-type", "")
        if not _wants_body(content_type, route):
            return NULL
        body = await bodies.read_body(
            receive,
            announced=request.announced_length,
            is_held_back="expect" in request.fields,
            limit=self._body_limit,
            deadlines=self._deadlines,
        )
        return bodies.as_json(content_type, body)

    def _body_at_once(
        self, request: Request, exchange: Exchange, route: FunctionRoute
    ) -> bytes | None:
        """Return what `_read_body` would, or None if it would have to wait or to refuse."""
        content_type = request.fields.get("content-type", "")
        if not _wants_body(content_type, route):
            return NULL
        body = exchange.whole_body()
        if body is None or len(body) > self._body_limit:
            return None
        return bodies.as_json(content_type, body)

    async def _fire(
        self, request: Request, trigger: Trigger, data: bytes, timeout_code: str = "timeout"
    ) -> bytes | None:
        fields = request.fields
        future = self._engine.fire(
            trigger,
            data,
            traceparent=fields.get("traceparent"),
            baggage=fields.get("baggage"),
        )
        return await self._wait(future, trigger.function_id, timeout_code)

    async def _wait(
        self, future: asyncio.Future[bytes | None], function_id: str, timeout_code: str
    ) -> bytes | None:
        try:
            return await self._deadlines.wait(future)
        except CallTimedOut:
            raise _too_late(function_id, self._deadlines.timeout_s, timeout_code) from None
        except EngineError as error:
            raise CallFailed(function_id, error) from error


def _wants_body(content_type: str, route: FunctionRoute) -> bool:
    return bodies.is_json(content_type) or (route.parses_body and bodies.is_readable(content_type))


def _too_late(function_id: str, limit_s: float, error_code: str) -> HttpError:
    logger.warning(
        "function did not answer an HTTP request in time",
        extra={"function_id": function_id, "timeout_s": limit_s},
    )
    return HttpError(504, error_code, f"no answer within {limit_s:g} s")


def _settle(done: asyncio.Future[Response], outcome: Response | Exception) -> None:
    if done.done():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)


def _verdict(result: bytes | None, function_id: str) -> Response | None:
    try:
        return verdict(result, function_id)
    except BadStatusCode as error:
        raise CallFailed(function_id, error) from error
