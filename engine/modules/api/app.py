"""The ASGI application of the HTTP port: finds the route of a request and sends the answer.

Django has no part in it: a request costs some microseconds besides the call of its function.
"""

from __future__ import annotations

import logging
from typing import Final

from engine.core.listeners import Receive, Scope, Send
from engine.core.protocol import encode
from engine.core.triggers import Trigger
from engine.modules.api.config import RestApiConfig
from engine.modules.api.cors import Cors, is_preflight, joined
from engine.modules.api.errors import (
    CallFailed,
    ClientGone,
    HttpError,
    Response,
    internal_error,
    json_response,
    method_not_allowed,
    new_error_id,
    not_found,
)
from engine.modules.api.path import PathPattern
from engine.modules.api.pipeline import FunctionCaller, Pipeline
from engine.modules.api.request import Request
from engine.modules.api.routes import BuiltinRoute, FunctionRoute, Leaf, RouteTable

logger = logging.getLogger(__name__)

HEALTH_PATH: Final = "health"


class HttpApplication:
    """Serves the route table; a plain ASGI callable."""

    def __init__(self, engine: FunctionCaller, config: RestApiConfig, routes: RouteTable) -> None:
        self._engine = engine
        self._routes = routes
        self._cors = Cors(config.cors)
        self._pipeline = Pipeline(engine, config)
        self._fallback = _fallback_route(config.not_found_function)
        routes.add(BuiltinRoute("GET", PathPattern.parse(HEALTH_PATH), self._health))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope)
        try:
            response = await self._respond(request, receive)
        except ClientGone:
            return
        except HttpError as error:
            response = error.response()
        except CallFailed as error:
            response = _report(error)
        except Exception:
            error_id = new_error_id()
            logger.exception("HTTP request failed in the engine", extra={"error_id": error_id})
            response = internal_error(error_id)
        cors = self._cors.headers(request.fields.get("origin"))
        headers = joined(response.headers, cors)
        body = b"" if request.method == "HEAD" else response.body
        try:
            await send(
                {"type": "http.response.start", "status": response.status, "headers": headers}
            )
            await send({"type": "http.response.body", "body": body})
        except OSError:
            logger.debug("client left before its answer")

    def close(self) -> None:
        """Release what the application holds of the event loop."""
        self._pipeline.close()

    async def _respond(self, request: Request, receive: Receive) -> Response:
        found = self._routes.find(request.path.removeprefix("/"))
        method = request.method
        if found is None:
            return await self._respond_unrouted(request, receive)
        leaf, values = found
        route = leaf.serving.get(method)
        if method == "OPTIONS" and (route is None or is_preflight(request.fields)):
            return self._options(leaf)
        if isinstance(route, FunctionRoute):
            return await self._pipeline.handle(request, receive, route, values)
        if isinstance(route, BuiltinRoute):
            return json_response(200, route.answer())
        raise method_not_allowed(leaf.allow)

    async def _respond_unrouted(self, request: Request, receive: Receive) -> Response:
        if request.method == "OPTIONS":
            return self._options(None)
        if self._fallback is None:
            raise not_found()
        try:
            return await self._pipeline.handle(request, receive, self._fallback, (), status=404)
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


def _fallback_route(function_id: str | None) -> FunctionRoute | None:
    if function_id is None:
        return None
    trigger = Trigger("not_found_function", "http", function_id)
    route = FunctionRoute("GET", PathPattern.parse(""), trigger)
    route.described = b',"path":"","trigger":null'
    return route


def _report(error: CallFailed) -> Response:
    error_id = new_error_id()
    logger.error(
        "HTTP request failed: %s",
        error.message,
        extra={
            "error_id": error_id,
            "function_id": error.function_id,
            "error_code": error.error_code,
        },
    )
    return internal_error(error_id, error.public_message)
