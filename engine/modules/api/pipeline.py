"""What happens between a matched route and its answer: middleware, condition, handler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final, Protocol

from engine.core.errors import EngineError
from engine.core.listeners import Receive
from engine.core.protocol import NULL
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

    def close(self) -> None:
        """Stop the timer."""
        self._deadlines.close()

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
            result = await self._fire(request, route.trigger, payload)
        finally:
            slots.release()
        try:
            return interpret(result, status=status)
        except BadStatusCode as error:
            raise CallFailed(route.trigger.function_id, error) from error

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
        is_json = bodies.is_json(content_type)
        if not is_json and not (route.parses_body and bodies.is_readable(content_type)):
            return NULL
        body = await bodies.read_body(
            receive,
            announced=request.announced_length,
            is_held_back="expect" in request.fields,
            limit=self._body_limit,
            deadlines=self._deadlines,
        )
        return bodies.json_body(body) if is_json else bodies.parsed_body(content_type, body)

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
            limit_s = self._deadlines.timeout_s
            logger.warning(
                "function did not answer an HTTP request in time",
                extra={"function_id": function_id, "timeout_s": limit_s},
            )
            raise HttpError(504, timeout_code, f"no answer within {limit_s:g} s") from None
        except EngineError as error:
            raise CallFailed(function_id, error) from error


def _verdict(result: bytes | None, function_id: str) -> Response | None:
    try:
        return verdict(result, function_id)
    except BadStatusCode as error:
        raise CallFailed(function_id, error) from error
