"""The options of the HTTP module."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from engine.modules.api.config import RestApiConfig


def test_the_defaults() -> None:
    config = RestApiConfig()

    assert config.model_dump() == {
        "port": 3111,
        "host": None,
        "default_timeout": 30_000,
        "concurrency_request_limit": 1024,
        "cors": None,
        "middleware": (),
        "body_limit": 16 * 1024 * 1024,
        "max_stream_body_bytes": None,
        "sse_heartbeat_ms": 15_000,
        "ignore_trailing_slash": False,
        "not_found_function": None,
    }


def test_every_option_is_read() -> None:
    config = RestApiConfig.model_validate(
        {
            "port": 0,
            "host": "0.0.0.0",
            "cors": {"allowed_origins": ["*"], "allowed_methods": ["GET"]},
            "middleware": [{"function_id": "auth::check", "phase": "preHandler", "priority": -5}],
        }
    )

    assert config.cors is not None
    assert config.cors.allowed_methods == ("GET",)
    assert config.middleware[0].priority == -5


@pytest.mark.parametrize(
    "options",
    [
        {"prot": 3111},
        {"port": 70_000},
        {"default_timeout": 0},
        {"concurrency_request_limit": -1},
        {"cors": {"origins": []}},
        {"middleware": [{"phase": "preHandler"}]},
        {"middleware": [{"function_id": "f", "phase": "postHandler"}]},
        {"body_limit": 0},
        {"trust_proxy": True},
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RestApiConfig.model_validate(options)
