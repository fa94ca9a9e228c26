"""The ASGI application of the HTTP port: finds the route of a request and sends the answer.

Django has no part in it: a request costs some microseconds besides the call of its function.
Where the server offers an `Exchange` and nothing has to be waited for before the handler is
called, it costs no task either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final

from engine.core.listeners import EXCHANGE, TAKEN, Exchange, Receive, Scope, Send
from engine.core.protocol import encode
from engine.core.triggers import Trigger
from engine.modules.api.config import RestApiConfig
from engine.modules.api.cors import CROSS_ORIGIN, Cors, is_preflight, joined
from engine.modules.api.errors import (
    CallFailed,
    ClientGone,
    Response,
    json_response,
    method_not_allowed,
    not_found,
    response_to,
)
from engine.modules.api.handler import Outcome
from engine.modules.api.path import PathPattern
from engine.modules.api.pipeline import FunctionCaller, Pipeline
from engine.modules.api.request import Request
from engine.modules.api.routes import BuiltinRoute, FunctionRoute, Leaf, RouteTable
from engine.modules.api.streaming import Download, IncompleteResponse

logger = logging.getLogger(__name__)

HEALTH_PATH: Final = "health"


class HttpApplication:
    """Serves the route table; a plain ASGI callable."""

    def __init__(self, engine: FunctionCaller, config: RestApiConfig, routes: RouteTable) -> None:
        self._engine = engine
        self._routes = routes
        self._cors = Cors(config.cors)
        self._pipeline = Pipeline(engine, config)
        self._heartbeat_s = config.sse_heartbeat_ms / 1000 or None
        self._downloads: set[Download] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fallback = _fallback_route(config.not_found_function)
        routes.add(BuiltinRoute("GET", PathPattern.parse(HEALTH_PATH), self._health))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        exchange: Exchange | None = scope.get("extensions", _NO_EXTENSIONS).get(EXCHANGE)
        request = Request(scope, receive, send, exchange)
        if exchange is not None:
            try:
                if self._begin(request):
                    return TAKEN
            except Exception as error:
                self._finish(request, error)
                return TAKEN
        return self._serve(request)

    def close(self) -> None:
        """Release what the application holds of the event loop; answers that stream are cut."""
        self._pipeline.close()
        for download in list(self._downloads):
            download.abandon()

    def _begin(self, request: Request) -> bool:
        """Call the handler at once, if the request needs nothing else; False: it does."""
        found = self._routes.find(request.path.removeprefix("/"))
        if found is None or request.method == "OPTIONS":
            return False
        leaf, values = found
        route = leaf.serving.get(request.method)
        return isinstance(route, FunctionRoute) and self._pipeline.begin(
            request, route, values, self._finish
        )

    def _finish(self, request: Request, outcome: Outcome) -> None:
        """Send what became of a request that `_begin` has begun."""
        if isinstance(outcome, Download):
            task = asyncio.get_running_loop().create_task(self._stream(request, outcome))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        if isinstance(outcome, ClientGone):
            return
        response = response_to(outcome) if isinstance(outcome, Exception) else outcome
        self._send_at_once(request, response)

    def _send_at_once(self, request: Request, response: Response) -> Awaitable[None] | None:
        """Send a response through the exchange of its request, see `Exchange.respond`."""
        exchange = request.exchange
        assert exchange is not None
        status, headers, body = response
        if request.method == "HEAD":
            body = b""
        origin = request.fields.get("origin")
        for name, _ in headers:
            if name.startswith(CROSS_ORIGIN):
                return exchange.respond(status, joined(headers, self._cors.headers(origin)), body)
        return exchange.respond(status, headers, body, self._cors.lines(origin))

    async def _stream(self, request: Request, download: Download) -> None:
        """Send an answer that comes through a channel; one that breaks off ends its connection."""
        exchange = request.exchange
        headers = joined(download.headers, self._cors.headers(request.fields.get("origin")))
        is_complete = False
        self._downloads.add(download)
        try:
            await download.send(request.send, exchange, headers, self._heartbeat_s)
            is_complete = True
        except (ClientGone, OSError):
            logger.debug("client left in the middle of its answer")
        except IncompleteResponse:
            logger.warning("HTTP answer broken off: its handler did not write all of it")
            if exchange is None:
                raise  # only the server can end the connection
        finally:
            self._downloads.discard(download)
            download.end()
            if exchange is not None and not is_complete:
                exchange.abort()

    async def _serve(self, request: Request) -> None:
        try:
            response = await self._respond(request)
        except ClientGone:
            return
        except Exception as error:
            response = response_to(error)
        if isinstance(response, Download):
            await self._stream(request, response)
            return
        if request.exchange is not None:
            waiting = self._send_at_once(request, response)
            if waiting is not None:
                await waiting
            return
        headers = joined(response.headers, self._cors.headers(request.fields.get("origin")))
        body = b"" if request.method == "HEAD" else response.body
        try:
            await request.send(
                {"type": "http.response.start", "status": response.status, "headers": headers}
            )
            await request.send({"type": "http.response.body", "body": body})
        except OSError:
            logger.debug("client left before its answer")

    async def _respond(self, request: Request) -> Response | Download:
        found = self._routes.find(request.path.removeprefix("/"))
        method = request.method
        if found is None:
            return await self._respond_unrouted(request)
        leaf, values = found
        route = leaf.serving.get(method)
        if method == "OPTIONS" and (route is None or is_preflight(request.fields)):
            return self._options(leaf)
        if isinstance(route, FunctionRoute):
            return await self._pipeline.handle(request, route, values)
        if isinstance(route, BuiltinRoute):
            return json_response(200, route.answer())
        raise method_not_allowed(leaf.allow)

    async def _respond_unrouted(self, request: Request) -> Response | Download:
        if request.method == "OPTIONS":
            return self._options(None)
        if self._fallback is None:
            raise not_found()
        try:
            return await self._pipeline.handle(request, self._fallback, (), status=404)
        except CallFailed as error:
            if error.error_code == "function_not_found":
                raise not_found() from error
            raise

    def _options(self, leaf: Leaf | None) -> Response:
        headers = [*self._cors.preflight(), (b"content-length", b"0")]
        if leaf is not None:
            headers.append((b"allow", leaf.allow))
        return Response(200, headers, b"")

    def _health(self) -> bytes:
        return encode(self._engine.health())


_NO_EXTENSIONS: Final[dict[str, Exchange]] = {}


def _fallback_route(function_id: str | None) -> FunctionRoute | None:
    if function_id is None:
        return None
    trigger = Trigger("not_found_function", "http", function_id)
    route = FunctionRoute("GET", PathPattern.parse(""), trigger)
    route.described = b',"path":"","trigger":null'
    return route
