"""JSON Schemas of the functions' payloads and results, for listings, consoles and agents."""

from __future__ import annotations

from typing import Any, Final

NAME: Final = {"type": "string", "maxLength": 1024}
ANY: Final[dict[str, Any]] = {}
TTL: Final = {"type": "integer", "minimum": 1, "description": "milliseconds until it expires"}
IF_VERSION: Final = {
    "type": "integer",
    "minimum": 0,
    "description": "only if the entry has this version; 0: only if there is none",
}
WITH_VERSION: Final = {"type": "boolean", "description": "answer the entry's version, too"}
OPS: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "type": {"enum": ["set", "merge", "increment", "decrement", "append", "remove"]},
            "path": {"description": "one literal member; merge and append take an array, too"},
            "value": {},
            "by": {"type": "integer"},
        },
        "required": ["type"],
    },
}
BOTH: Final = {
    "type": "object",
    "properties": {
        "old_value": {},
        "new_value": {},
        "version": {"type": "integer"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["old_value", "new_value"],
}
OLD: Final = {"type": "object", "properties": {"old_value": {}}, "required": ["old_value"]}
PAGE: Final[dict[str, Any]] = {
    "prefix": {"type": "string"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 10_000},
    "cursor": {"type": "string"},
}
STRINGS: Final = {"type": "array", "items": {"type": "string"}}
_GROUPS: Final = {"type": "object", "properties": {"groups": STRINGS}, "required": ["groups"]}


def object_schema(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object with these members."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
    }


def _schemas(group: str) -> dict[str, dict[str, Any]]:
    place = {group: NAME, "key": NAME}
    versions = {"if_version": IF_VERSION, "with_version": WITH_VERSION}
    return {
        "set": {
            "request_format": object_schema({**place, "value": ANY}, ttl_ms=TTL, **versions),
            "response_format": BOTH,
        },
        "get": {"request_format": object_schema(place, with_version=WITH_VERSION)},
        "delete": {"request_format": object_schema(place, **versions)},
        "update": {
            "request_format": object_schema({**place, "ops": OPS}, ttl_ms=TTL, **versions),
            "response_format": BOTH,
        },
        "list": {"request_format": object_schema({group: NAME}, **PAGE)},
        "list_groups": {"request_format": object_schema({}), "response_format": _GROUPS},
    }


STATE_SCHEMAS: Final = _schemas("scope")
"""By the last part of a function's id: `request_format` and, if it is always one, the response."""

KV_SCHEMAS: Final = _schemas("index") | {
    "list_keys_with_prefix": {
        "request_format": object_schema({"prefix": {"type": "string"}}, index=NAME),
        "response_format": STRINGS,
    }
}
"""The same of the KV server."""

KV_SCHEMAS["delete"]["response_format"] = OLD
