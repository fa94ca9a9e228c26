"""What can cause calls: the list of trigger types, and one of them with its formats."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest

from console.engine_calls import InvocationFailed, call
from console.live.page import LivePage, Rows, Wanted
from console.readable import readable_json


class TriggerTypeEntry(msgspec.Struct):
    """A trigger type as `engine::triggers::list` gives it."""

    id: str
    namespace: str
    worker_name: str | None = None
    description: str = ""


class TriggerTypeList(msgspec.Struct):
    """The answer of `engine::triggers::list` for callers that mean types."""

    triggers: list[TriggerTypeEntry]


class TriggerTypeInfo(msgspec.Struct):
    """The answer of `engine::triggers::info`."""

    id: str
    namespace: str
    instance_count: int
    worker_name: str | None = None
    description: str = ""
    configuration_schema: msgspec.Raw = msgspec.Raw(b"")
    request_schema: msgspec.Raw = msgspec.Raw(b"")

    @property
    def formats(self) -> list[tuple[str, str]]:
        """What its triggers' config and the payload of its calls look like, each indented."""
        named = (
            ("Config of a trigger", self.configuration_schema),
            ("Payload of a call", self.request_schema),
        )
        return [(name, readable_json(raw)) for name, raw in named if bytes(raw)]


def list_trigger_types(*, with_internal: bool = False) -> list[TriggerTypeEntry]:
    """Ask the engine which trigger types somebody provides, by id."""
    # An `include_internal` alone would mean triggers, as old SDKs do.
    payload = {"include_internal": with_internal, "prefix": ""}
    answer = call("engine::triggers::list", payload, TriggerTypeList)
    return sorted(answer.triggers, key=lambda each: (each.id, each.namespace))


def describe(type_id: str, namespace: str | None) -> TriggerTypeInfo:
    """Ask the engine about one trigger type."""
    payload = {"id": type_id, "namespace": namespace or None}
    return call("engine::triggers::info", payload, TriggerTypeInfo)


class TriggerTypesPage(LivePage):
    """Every trigger type that somebody provides."""

    name = "live-trigger-types"
    route = "live/trigger-types/"
    title = "Trigger types"
    permission = "console.view_trigger_types"
    part_template = "console/live/trigger_types.html"
    search_hint = "Id, provider, description"
    internal_label = "the engine's own types"

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Ask for the trigger types, and for each how many triggers it has."""
        wanted = Wanted.of(request)
        found = (
            each
            for each in list_trigger_types(with_internal=wanted.with_internal)
            if wanted.matches(each.id, each.worker_name, each.description)
        )
        rows = Rows.of(found)
        return {"rows": rows, "described": [_describe_again(each) for each in rows.shown]}


def _describe_again(entry: TriggerTypeEntry) -> TriggerTypeInfo:
    try:
        return describe(entry.id, entry.namespace)
    except InvocationFailed:  # its provider has gone since it was listed
        return TriggerTypeInfo(entry.id, entry.namespace, 0, entry.worker_name, entry.description)


class TriggerTypePage(LivePage):
    """One trigger type: `?id=…&namespace=…`."""

    name = "live-trigger-type"
    route = "live/trigger-types/trigger-type/"
    title = "Trigger type"
    permission = "console.view_trigger_types"
    part_template = "console/live/trigger_type.html"

    def subject(self, request: HttpRequest) -> str:
        """Return the type's id."""
        return request.GET.get("id", "")

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Ask for the trigger type."""
        found = describe(request.GET.get("id", ""), request.GET.get("namespace"))
        return {"trigger_type": found}
