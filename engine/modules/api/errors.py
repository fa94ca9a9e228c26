"""Answers that the engine makes itself when a request fails: bodies, statuses, exceptions."""

from __future__ import annotations

import logging
import secrets
from typing import Final, NamedTuple, TypeAlias

from engine.core.errors import EngineError, InvocationFailed
from engine.core.protocol import encode

logger = logging.getLogger(__name__)

Headers: TypeAlias = list[tuple[bytes, bytes]]

JSON_TYPE: Final = (b"content-type", b"application/json")
CLOSE: Final = (b"connection", b"close")


class Response(NamedTuple):
    """What goes to the client, but for the headers that every answer carries (CORS)."""

    status: int
    headers: Headers
    body: bytes


class HttpError(EngineError):
    """A request ends with an answer of the engine's own.

    Attributes:
        status: of the answer; its body is `{"error": {"code", "message"}}`.
        error_code: for programs.
        headers: what the answer carries beside its content type and length.
    """

    code = "http_error"

    def __init__(
        self, status: int, error_code: str, message: str, headers: Headers | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.headers = headers

    def response(self) -> Response:
        """Return the answer."""
        body = encode({"error": {"code": self.error_code, "message": self.message}})
        return json_response(self.status, body, self.headers)


class ClientGone(EngineError):
    """The client left before its request was complete; nobody waits for an answer."""

    code = "client_gone"


class BadStatusCode(EngineError):
    """A handler's answer names a status that does not exist."""

    code = "invalid_status_code"


class CallFailed(EngineError):
    """A function that a request needs ended with an error, or answered nonsense.

    Attributes:
        function_id: which function.
        error_code: the code on the wire.
        public_message: what the client may read; what a function says of itself stays in the log.
    """

    code = "call_failed"

    def __init__(self, function_id: str, cause: EngineError) -> None:
        super().__init__(cause.message)
        self.function_id = function_id
        self.error_code = cause.error_code if isinstance(cause, InvocationFailed) else cause.code
        is_public = isinstance(cause, BadStatusCode)
        self.public_message = cause.message if is_public else "internal server error"


def json_response(status: int, body: bytes, headers: Headers | None = None) -> Response:
    """Return an answer with a JSON body."""
    length = (b"content-length", b"%d" % len(body))
    return Response(status, [JSON_TYPE, length, *(headers or ())], body)


def new_error_id() -> str:
    """Return what a user reads in the answer and an operator searches in the log: hex digits."""
    return secrets.token_hex(8)


def internal_error(error_id: str, message: str = "internal server error") -> Response:
    """Return the answer to a failure whose reason is in the log, under the error id."""
    return json_response(500, encode({"error": message, "error_id": error_id}))


def response_to(error: Exception) -> Response:
    """Return the answer to a failed request; what the client may not read is logged."""
    if isinstance(error, HttpError):
        return error.response()
    error_id = new_error_id()
    if not isinstance(error, CallFailed):
        logger.error(
            "HTTP request failed in the engine", exc_info=error, extra={"error_id": error_id}
        )
        return internal_error(error_id)
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


def not_found() -> HttpError:
    """Return the error of a path without a route."""
    return HttpError(404, "NOT_FOUND", "Not Found")


def method_not_allowed(allow: bytes) -> HttpError:
    """Return the error of a path whose routes serve other methods.

    Args:
        allow: those methods.
    """
    headers = [(b"allow", allow)]
    return HttpError(405, "METHOD_NOT_ALLOWED", "Method Not Allowed", headers)


def condition_not_met() -> Response:
    """Return the answer where a condition said no."""
    return json_response(422, b'{"error":"Request condition not met","skipped":true}')
