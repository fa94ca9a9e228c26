"""What can be called: the list of functions, and one of them with its formats and triggers."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest

from console.engine_calls import call
from console.live.addresses import worker_url
from console.live.page import LivePage, Rows, Wanted
from console.readable import readable_json


class FunctionEntry(msgspec.Struct):
    """A function as `engine::functions::list` gives it."""

    function_id: str
    namespace: str
    worker_name: str
    description: str | None = None


class FunctionList(msgspec.Struct):
    """The answer of `engine::functions::list`."""

    functions: list[FunctionEntry]


class BoundTrigger(msgspec.Struct):
    """A trigger that calls a function."""

    id: str
    trigger_type: str
    config: msgspec.Raw

    @property
    def readable_config(self) -> str:
        """Its config, indented."""
        return readable_json(self.config)


class FunctionInfo(msgspec.Struct):
    """The answer of `engine::functions::info`."""

    function_id: str
    namespace: str
    worker_name: str
    owner_count: int
    registered_triggers: list[BoundTrigger]
    description: str = ""
    request_schema: msgspec.Raw = msgspec.Raw(b"")
    response_schema: msgspec.Raw = msgspec.Raw(b"")
    metadata: msgspec.Raw = msgspec.Raw(b"")

    @property
    def formats(self) -> list[tuple[str, str]]:
        """What it takes, what it gives and what else is said of it, each indented."""
        named = (
            ("Request format", self.request_schema),
            ("Response format", self.response_schema),
            ("Metadata", self.metadata),
        )
        return [(name, readable_json(raw)) for name, raw in named if bytes(raw)]


def list_functions(*, with_internal: bool = False) -> list[FunctionEntry]:
    """Ask the engine what can be called, by id."""
    answer = call("engine::functions::list", {"include_internal": with_internal}, FunctionList)
    return sorted(answer.functions, key=lambda each: (each.function_id, each.namespace))


class FunctionsPage(LivePage):
    """Everything that can be called."""

    name = "live-functions"
    route = "live/functions/"
    title = "Functions"
    permission = "console.view_functions"
    part_template = "console/live/functions.html"
    search_hint = "Id, worker, description"
    internal_label = "the engine's own functions"

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Ask for the functions."""
        wanted = Wanted.of(request)
        found = (
            each
            for each in list_functions(with_internal=wanted.with_internal)
            if wanted.matches(each.function_id, each.worker_name, each.description)
        )
        return {"rows": Rows.of(found), "worker_url": worker_url(request)}


class FunctionPage(LivePage):
    """One function: `?id=…&namespace=…`."""

    name = "live-function"
    route = "live/functions/function/"
    title = "Function"
    permission = "console.view_functions"
    part_template = "console/live/function.html"

    def subject(self, request: HttpRequest) -> str:
        """Return the function's id."""
        return request.GET.get("id", "")

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Ask for the function."""
        payload = {
            "function_id": request.GET.get("id", ""),
            "namespace": request.GET.get("namespace") or None,
        }
        return {"function": call("engine::functions::info", payload, FunctionInfo)}
