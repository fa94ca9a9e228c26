"""The options of the HTTP module, with their defaults and units."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from engine.core.modules import ModuleConfig

DEFAULT_PORT: Final = 3111
DEFAULT_BODY_LIMIT: Final = 16 * 1024 * 1024


class CorsConfig(ModuleConfig):
    """Which pages of other origins may call the routes."""

    allowed_origins: tuple[str, ...] = Field(
        default=(), description='Origins that may call; none, or "*" among them: any.'
    )
    allowed_methods: tuple[str, ...] = Field(
        default=(), description='Methods that preflights allow; none, or "*" among them: any.'
    )


class MiddlewareConfig(ModuleConfig):
    """One function that is asked before every handler."""

    function_id: str = Field(min_length=1, description="The function to ask.")
    phase: Literal["preHandler"] = Field(default="preHandler", description="When it is asked.")
    priority: int = Field(
        default=0, description="Lower ones come first, equal ones in the order of the file."
    )


class RestApiConfig(ModuleConfig):
    """Everything that a config may say about the HTTP module."""

    port: int = Field(
        default=DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    host: str | None = Field(
        default=None, description="Address or name to bind; none: the loopback only."
    )
    default_timeout: int = Field(
        default=30_000,
        ge=1,
        description="Milliseconds until a handler's answer begins, counted anew while the request "
        "body streams in, and that a condition or middleware may take; also for how long a request "
        "waits for its turn.",
    )
    concurrency_request_limit: int = Field(
        default=1024,
        ge=0,
        description="Requests that are handled at once, over all routes; others wait. An answer "
        "that has begun to stream counts no longer. 0 means 1.",
    )
    cors: CorsConfig | None = Field(
        default=None, description="Which pages of other origins may call; none: all of them."
    )
    middleware: tuple[MiddlewareConfig, ...] = Field(
        default=(), description="Functions that are asked before every handler."
    )
    body_limit: int = Field(
        default=DEFAULT_BODY_LIMIT,
        ge=1,
        description="Bytes of a request body (JSON, parse_body) that are taken into memory.",
    )
    max_stream_body_bytes: int | None = Field(
        default=None,
        ge=1,
        description="Bytes of a request body that streams to its handler; none: no limit.",
    )
    sse_heartbeat_ms: int = Field(
        default=15_000,
        ge=0,
        description="Milliseconds of silence after which an event stream gets a comment line, "
        "so that nobody on the way takes it for dead. 0: never.",
    )
    ignore_trailing_slash: bool = Field(default=False, description="Treat /a and /a/ as one route.")
    not_found_function: str | None = Field(
        default=None, min_length=1, description="Function that answers where no route matches."
    )
