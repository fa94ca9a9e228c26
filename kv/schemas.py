"""JSON Schemas of the functions' payloads and results, for listings, consoles and agents."""

from __future__ import annotations

from typing import Any, Final

_NAME: Final = {"type": "string", "maxLength": 1024}
_ANY: Final[dict[str, Any]] = {}
_TTL: Final = {"type": "integer", "minimum": 1, "description": "milliseconds until it expires"}
_IF_VERSION: Final = {
    "type": "integer",
    "minimum": 0,
    "description": "only if the entry has this version; 0: only if there is none",
}
_WITH_VERSION: Final = {"type": "boolean", "description": "answer the entry's version, too"}
_OPS: Final = {
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
_BOTH: Final = {
    "type": "object",
    "properties": {
        "old_value": {},
        "new_value": {},
        "version": {"type": "integer"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["old_value", "new_value"],
}
_OLD: Final = {"type": "object", "properties": {"old_value": {}}, "required": ["old_value"]}
_STRINGS: Final = {"type": "array", "items": {"type": "string"}}
_GROUPS: Final = {"type": "object", "properties": {"groups": _STRINGS}, "required": ["groups"]}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
    }


def _schemas(group: str) -> dict[str, dict[str, Any]]:
    place = {group: _NAME, "key": _NAME}
    versions = {"if_version": _IF_VERSION, "with_version": _WITH_VERSION}
    page = {
        "prefix": {"type": "string"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 10_000},
        "cursor": {"type": "string"},
    }
    return {
        "set": {
            "request_format": _object({**place, "value": _ANY}, ttl_ms=_TTL, **versions),
            "response_format": _BOTH,
        },
        "get": {"request_format": _object(place, with_version=_WITH_VERSION)},
        "delete": {"request_format": _object(place, **versions)},
        "update": {
            "request_format": _object({**place, "ops": _OPS}, ttl_ms=_TTL, **versions),
            "response_format": _BOTH,
        },
        "list": {"request_format": _object({group: _NAME}, **page)},
        "list_groups": {"request_format": _object({}), "response_format": _GROUPS},
    }


STATE_SCHEMAS: Final = _schemas("scope")
"""By the last part of a function's id: `request_format` and, if it is always one, the response."""

KV_SCHEMAS: Final = _schemas("index") | {
    "list_keys_with_prefix": {
        "request_format": _object({"prefix": {"type": "string"}}, index=_NAME),
        "response_format": _STRINGS,
    }
}
"""The same of the KV server."""

KV_SCHEMAS["delete"]["response_format"] = _OLD
