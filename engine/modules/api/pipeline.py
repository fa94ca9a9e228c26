"""What happens between a matched route and its answer: middleware, condition, handler."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from engine.core.channels import Channels
from engine.core.errors import EngineError
from engine.core.invocations import Reply
from engine.core.protocol import NULL
from engine.core.triggers import Trigger
from engine.modules.api import body as bodies
from engine.modules.api.calls import CallTimedOut, Deadlines, Slots
from engine.modules.api.config import RestApiConfig
from engine.modules.api.errors import (
    BadStatusCode,
    CallFailed,
    Response,
    condition_not_met,
)
from engine.modules.api.handler import Finish, HandlerCall, Outcome, Terms, too_late
from engine.modules.api.middleware import verdict
from engine.modules.api.request import Request
from engine.modules.api.routes import FunctionRoute
from engine.modules.api.streaming import Download

Body: TypeAlias = tuple[bytes | None, bytes]
"""A request's body: as it came, None if it streams to the handler, and as JSON text."""

NO_BODY: Final[Body] = b"", NULL
STREAMED: Final[Body] = None, NULL

BLOCKED: Final = b"false"
MIDDLEWARE_TIMEOUT: Final = "middleware_timeout"


class FunctionCaller(Protocol):
    """What the HTTP module needs of the engine."""

    channels: Channels

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
        self._stream_limit = config.max_stream_body_bytes
        self._terms = Terms(self._deadlines, self._slots, engine.channels, self._stream_limit)

    def close(self) -> None:
        """Stop the timer."""
        self._deadlines.close()

    def begin(
        self,
        request: Request,
        route: FunctionRoute,
        values: Sequence[str],
        finish: Finish,
    ) -> bool:
        """Call the handler now if nothing has to be waited for; else return False, nothing done.

        Args:
            request: its head, with an exchange.
            route: what serves it.
            values: of the path parameters, as they came.
            finish: takes the outcome.
        """
        if self._middleware or route.is_guarded:
            return False
        body = NO_BODY
        if request.has_body:
            at_once = self._body_at_once(request, route)
            if at_once is None:
                return False
            body = at_once
        if not self._slots.take():
            return False
        self._call_handler(request, route, values, body, 200, finish)
        return True

    async def handle(
        self,
        request: Request,
        route: FunctionRoute,
        values: Sequence[str],
        *,
        status: int = 200,
    ) -> Response | Download:
        """Answer a request by the functions of its route.

        Args:
            request: its head.
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
            prepared = await self._prepare(request, route, values)
        except BaseException:
            slots.release()
            raise
        if isinstance(prepared, Response):
            slots.release()
            return prepared
        done: asyncio.Future[Response | Download] = asyncio.get_running_loop().create_future()
        call = self._call_handler(request, route, values, prepared, status, partial(_settle, done))
        try:
            return await done
        except asyncio.CancelledError:
            call.client_left()
            raise

    async def _prepare(
        self, request: Request, route: FunctionRoute, values: Sequence[str]
    ) -> Body | Response:
        """Return the body for the handler, or the answer of whoever spoke in its place."""
        if self._middleware:
            early = await self._ask_middleware(request, route, values)
            if early is not None:
                return early
        body = await self._read_body(request, route) if request.has_body else NO_BODY
        if route.is_guarded:
            payload = request.payload(route.pattern.names, values, route.described, body[1])
            early = await self._ask_guards(request, route, values, payload)
            if early is not None:
                return early
        return body

    def _call_handler(
        self,
        request: Request,
        route: FunctionRoute,
        values: Sequence[str],
        body: Body,
        status: int,
        finish: Finish,
    ) -> HandlerCall:
        """Call the handler, in a slot that has been taken."""
        trigger = route.trigger
        raw, text = body
        terms, channels = self._terms, self._terms.channels
        call = HandlerCall(
            terms,
            request,
            trigger.function_id,
            raw,
            status,
            finish,
            channels.new_id(),
            channels.new_key(),
        )
        payload = request.payload(
            route.pattern.names, values, route.described, text, call.channel_members()
        )
        fields = request.fields
        self._engine.fire_and_reply(
            trigger, payload, call.reply, fields.get("traceparent"), fields.get("baggage")
        )
        return call

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

    async def _read_body(self, request: Request, route: FunctionRoute) -> Body:
        content_type = request.fields.get("content-type", "")
        if not _wants_body(content_type, route):
            if self._stream_limit is not None:
                bodies.check_announced(
                    request.announced_length,
                    self._stream_limit,
                    is_held_back="expect" in request.fields,
                )
            return STREAMED
        body = await bodies.read_body(
            request.receive,
            announced=request.announced_length,
            is_held_back="expect" in request.fields,
            limit=self._body_limit,
            deadlines=self._deadlines,
        )
        return body, bodies.as_json(content_type, body)

    def _body_at_once(self, request: Request, route: FunctionRoute) -> Body | None:
        """Return what `_read_body` would, or None if it would have to wait or to refuse."""
        content_type = request.fields.get("content-type", "")
        if not _wants_body(content_type, route):
            return STREAMED if self._stream_limit is None else None
        exchange = request.exchange
        body = None if exchange is None else exchange.whole_body()
        if body is None or len(body) > self._body_limit:
            return None
        return body, bodies.as_json(content_type, body)

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
            raise too_late(function_id, self._deadlines.timeout_s, timeout_code) from None
        except EngineError as error:
            raise CallFailed(function_id, error) from error


def _wants_body(content_type: str, route: FunctionRoute) -> bool:
    return bodies.is_json(content_type) or (route.parses_body and bodies.is_readable(content_type))


def _settle(done: asyncio.Future[Response | Download], request: Request, outcome: Outcome) -> None:
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
