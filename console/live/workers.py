"""Who is connected: the list of workers, and one of them with what it has registered."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from django.http import HttpRequest

from console.engine_calls import call
from console.live.addresses import worker_url
from console.live.functions import FunctionEntry
from console.live.page import LivePage, Rows, Wanted
from console.live.trigger_types import TriggerTypeEntry
from console.readable import readable_json


class WorkerEntry(msgspec.Struct):
    """A worker as `engine::workers::list` gives it."""

    id: str
    name: str
    namespace: str
    status: str
    connected_at_ms: int
    function_count: int
    active_invocations: int
    internal: bool
    description: str | None = None
    version: str | None = None
    runtime: str | None = None
    os: str | None = None
    pid: int | None = None
    isolation: str | None = None
    ip_address: str | None = None

    @property
    def connected_at(self) -> dt.datetime:
        """When it connected."""
        return dt.datetime.fromtimestamp(self.connected_at_ms / 1000, dt.UTC)


class WorkerList(msgspec.Struct):
    """The answer of `engine::workers::list`."""

    workers: list[WorkerEntry]


class RegisteredTrigger(msgspec.Struct):
    """A trigger as the engine shows it with its state."""

    id: str
    trigger_type: str
    function_id: str
    state: str
    config: msgspec.Raw

    @property
    def readable_config(self) -> str:
        """Its config, indented."""
        return readable_json(self.config)


class WorkerInfo(msgspec.Struct):
    """The answer of `engine::workers::info`."""

    worker: WorkerEntry
    functions: list[FunctionEntry]
    trigger_types: list[TriggerTypeEntry]
    registered_triggers: list[RegisteredTrigger]


def list_workers(*, with_internal: bool = False) -> list[WorkerEntry]:
    """Ask the engine who is connected, newest first."""
    answer = call("engine::workers::list", {"include_internal": with_internal}, WorkerList)
    return sorted(answer.workers, key=lambda each: (-each.connected_at_ms, each.name))


class WorkersPage(LivePage):
    """Everybody who is connected."""

    name = "live-workers"
    route = "live/workers/"
    title = "Workers"
    permission = "console.view_workers"
    part_template = "console/live/workers.html"
    search_hint = "Name, runtime, address, id"
    internal_label = "the engine's own modules"

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Ask for the workers."""
        wanted = Wanted.of(request)
        entries = list_workers(with_internal=wanted.with_internal)
        found = (
            each
            for each in entries
            if wanted.matches(
                each.name, each.id, each.runtime, each.version, each.ip_address, each.description
            )
        )
        return {"rows": Rows.of(found), "worker_url": worker_url(request)}


class WorkerPage(LivePage):
    """One worker: `?id=…&namespace=…`."""

    name = "live-worker"
    route = "live/workers/worker/"
    title = "Worker"
    permission = "console.view_workers"
    part_template = "console/live/worker.html"

    def subject(self, request: HttpRequest) -> str:
        """Return the name that the link was made with."""
        return request.GET.get("name") or request.GET.get("id", "")

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Ask for the worker."""
        payload = {
            "name": request.GET.get("id", ""),
            "namespace": request.GET.get("namespace") or None,
        }
        info = call("engine::workers::info", payload, WorkerInfo)
        return {"info": info, "worker": info.worker}
