"""JSON Schemas of the stream functions' payloads and results, for listings and agents."""

from __future__ import annotations

from typing import Any, Final

from kv.schemas import (
    ANY,
    BOTH,
    IF_VERSION,
    NAME,
    OLD,
    OPS,
    PAGE,
    STRINGS,
    TTL,
    WITH_VERSION,
    object_schema,
)

_GROUP: Final = {"stream_name": NAME, "group_id": NAME}
_ITEM: Final = {**_GROUP, "item_id": NAME}
_VERSIONS: Final = {"if_version": IF_VERSION, "with_version": WITH_VERSION}
_INTEGER: Final = {"type": "integer"}
_STRING: Final = {"type": "string"}

_STREAMS: Final = {
    "type": "array",
    "items": object_schema({"id": _STRING, "groups": STRINGS}),
}
_SUBSCRIBERS: Final = {
    "type": "array",
    "items": object_schema(
        {
            "subscription_id": _STRING,
            "client_id": _STRING,
            "stream_name": _STRING,
            "group_id": _STRING,
            "id": {"type": ["string", "null"]},
            "since": {"type": "integer", "description": "Unix milliseconds"},
        }
    ),
}

STREAM_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "set": {
        "request_format": object_schema({**_ITEM, "data": ANY}, ttl_ms=TTL, **_VERSIONS),
        "response_format": BOTH,
    },
    "get": {"request_format": object_schema(_ITEM, with_version=WITH_VERSION)},
    "delete": {"request_format": object_schema(_ITEM, **_VERSIONS), "response_format": OLD},
    "update": {
        "request_format": object_schema({**_ITEM, "ops": OPS}, ttl_ms=TTL, **_VERSIONS),
        "response_format": BOTH,
    },
    "list": {"request_format": object_schema(_GROUP, **PAGE)},
    "list_groups": {
        "request_format": object_schema({"stream_name": NAME}),
        "response_format": STRINGS,
    },
    "list_all": {
        "request_format": object_schema({}),
        "response_format": object_schema({"stream": _STREAMS, "count": _INTEGER}),
    },
    "send": {
        "request_format": object_schema({**_GROUP, "type": _STRING, "data": ANY}, id=NAME),
        "response_format": {"type": "null"},
    },
    "subscribers": {
        "request_format": object_schema(
            {}, **_GROUP, limit={"type": "integer", "minimum": 1, "maximum": 10_000}
        ),
        "response_format": object_schema({"subscribers": _SUBSCRIBERS, "count": _INTEGER}),
    },
}
"""By the last part of a function's id."""
