"""The trigger type `http` (also spelled `api`): one trigger is one route."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

import msgspec

from engine.core.errors import TriggerRegistrationFailed
from engine.core.protocol import NULL, encode
from engine.core.triggers import Trigger, TriggerType
from engine.modules.api.path import PathPattern
from engine.modules.api.routes import METHODS, FunctionRoute, RouteTable

logger = logging.getLogger(__name__)

_STRING: Final = {"type": "string"}
_STRINGS: Final = {"type": "object", "additionalProperties": _STRING}

CONFIG_SCHEMA: Final = encode(
    {
        "type": "object",
        "required": ["api_path"],
        "properties": {
            "api_path": _STRING,
            "http_method": {"enum": METHODS, "default": "GET"},
            "condition_function_id": _STRING,
            "middleware_function_ids": {"type": "array", "items": _STRING},
            "parse_body": {"type": "boolean", "default": False},
            "description": _STRING,
            "metadata": {},
        },
    }
)
REQUEST_SCHEMA: Final = encode(
    {
        "type": "object",
        "properties": {
            "path_params": _STRINGS,
            "query_params": _STRINGS,
            "headers": _STRINGS,
            "path": _STRING,
            "method": _STRING,
            "body": {},
            "trigger": _STRINGS,
            "request_path": _STRING,
            "path_params_decoded": _STRINGS,
            "request_body": _STRINGS,
            "response": _STRINGS,
        },
    }
)


class TriggerConfig(msgspec.Struct):
    """The config of one trigger; members that it does not know are kept for listings only.

    Attributes:
        api_path: the pattern, see `PathPattern`.
        http_method: in any case; GET if absent.
        condition_function_id: asked with the handler's payload; only `false` blocks.
        condition_path: the older spelling of it.
        middleware_function_ids: asked after the condition, in this order.
        parse_body: hand over text and forms too.
    """

    api_path: str
    http_method: str | None = None
    condition_function_id: str | None = None
    condition_path: str | None = msgspec.field(default=None, name="_condition_path")
    middleware_function_ids: list[str] | None = None
    parse_body: bool | None = None


class HttpTriggerType(TriggerType):
    """Keeps the route table in step with the triggers."""

    id = "http"
    aliases = ("api",)
    description = "HTTP requests to a path"
    trigger_request_format = CONFIG_SCHEMA
    call_request_format = REQUEST_SCHEMA

    def __init__(self, routes: RouteTable) -> None:
        self._routes = routes
        self._route_of: dict[Trigger, FunctionRoute] = {}

    def add(self, trigger: Trigger) -> None:
        """Make a route of the trigger; one with an unknown method gets none, with a warning."""
        config = _read_config(trigger)
        method = (config.http_method or "GET").upper()
        pattern = PathPattern.parse(config.api_path)
        if method not in METHODS:
            logger.warning(
                "trigger has no route: its http_method does not exist",
                extra={"trigger_id": trigger.id, "http_method": method, "methods": METHODS},
            )
            return
        condition = config.condition_function_id or config.condition_path
        route = FunctionRoute(
            method,
            pattern,
            trigger,
            condition=_companion(trigger, condition) if condition else None,
            middleware=tuple(
                _companion(trigger, function_id)
                for function_id in config.middleware_function_ids or ()
            ),
            parses_body=bool(config.parse_body),
        )
        self._routes.add(route)
        self._route_of[trigger] = route

    def remove(self, trigger: Trigger) -> None:
        """Take the route of the trigger away, if it has one."""
        route = self._route_of.pop(trigger, None)
        if route is not None:
            self._routes.remove(route)


def _read_config(trigger: Trigger) -> TriggerConfig:
    text = b"{}" if trigger.config == NULL else trigger.config
    try:
        return msgspec.json.decode(text, type=TriggerConfig)
    except msgspec.DecodeError as error:
        raise TriggerRegistrationFailed(
            f"{trigger.trigger_type} trigger {trigger.id}: bad config: {error}"
        ) from error


def _companion(trigger: Trigger, function_id: str) -> Trigger:
    # Conditions and middleware are found where the trigger's owner would find them.
    return replace(trigger, function_id=function_id, metadata=None)
