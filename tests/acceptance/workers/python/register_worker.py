"""The acceptance worker for the `register_worker` API (PyPI iii-sdk 0.9 and later).

See ../README.md. Handlers are plain functions: the SDK runs each in a thread, so they may wait.
Those that use channels are coroutines, since the ends of a channel are.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from iii import InitOptions, TriggerAction, register_worker
from iii.stream import IStream
from iii.triggers import TriggerConfig, TriggerHandler

Handler = Callable[[Any], Any]

SERVICE = os.environ["SERVICE"]
RELEASE = tuple(int(part) for part in version("iii-sdk").split("."))

# From 0.21 on, what was a method of the worker or in the SDK itself is in modules of helpers.
if RELEASE < (0, 21):
    from iii import http
    from iii.stream import StreamDeleteResult, StreamSetResult
else:
    from iii.helpers import create_channel, create_stream
    from iii_helpers.http import http
    from iii_helpers.stream import StreamDeleteResult, StreamSetResult

worker = register_worker(os.environ["III_URL"], InitOptions(worker_name=SERVICE))
notes: list[Any] = []
works: list[Any] = []
registered: dict[str, Any] = {}
routes: dict[str, Any] = {}
triggers: dict[str, Any] = {}
bound: dict[str, dict[str, Any]] = {}
seen: list[str] = []


def add_function(function_id: str, handler: Handler) -> Any:
    """Register a handler: up to 0.10 with a dict, from 0.11 with its id."""
    if RELEASE < (0, 11):
        return worker.register_function({"id": function_id}, handler)
    return worker.register_function(function_id, handler)


def function(handler: Handler) -> Handler:
    """Register a handler under its own name."""
    add_function(f"{SERVICE}::{handler.__name__}", handler)
    return handler


def invoke(function_id: str, payload: Any, **options: Any) -> Any:
    """Call a function of any worker and wait for its answer."""
    return worker.trigger({"function_id": function_id, "payload": payload, **options})


class BellProvider(TriggerHandler):
    """Keeps the triggers of this worker's bells."""

    async def register_trigger(self, config: TriggerConfig) -> None:
        if config.config and config.config.get("refuse"):
            raise ValueError("this bell is not for sale")
        bound[config.id] = {
            "id": config.id,
            "function_id": config.function_id,
            "config": config.config,
        }

    async def unregister_trigger(self, config: TriggerConfig) -> None:
        bound.pop(config.id, None)


@function
def echo(data: Any) -> Any:
    return data


@function
def add(data: Any) -> Any:
    return data["a"] + data["b"]


@function
def fail(data: Any) -> Any:
    raise RuntimeError("told to fail")


@function
def nothing(data: Any) -> None:
    return None


@function
def slow(data: Any) -> str:
    notes.append("slow")
    time.sleep(data["ms"] / 1000)
    return "done"


@function
def remember(data: Any) -> None:
    notes.append(data["note"])


@function
def remembered(data: Any) -> list[Any]:
    return notes


@function
def make(data: Any) -> str:
    size: int = data["size"]
    return "x" * size


@function
def work(data: Any) -> None:
    works.append(data)
    if isinstance(data, dict):
        errors, note = data.get("errors", []), data.get("note")
        times = sum(isinstance(each, dict) and each.get("note") == note for each in works)
        if times <= len(errors):
            raise RuntimeError(errors[times - 1])


@function
def worked(data: Any) -> list[Any]:
    return works


@function
def measure(data: Any) -> int:
    return len(invoke(data["function_id"], data["data"]))


@function
def call(data: Any) -> dict[str, Any]:
    timeout_ms = data.get("timeout_ms", 30_000)
    try:
        return {"result": invoke(data["function_id"], data.get("data"), timeout_ms=timeout_ms)}
    except Exception as error:
        message = str(error) or type(error).__name__
        return {"error": {"code": getattr(error, "code", None), "message": message}}


@function
def call_void(data: Any) -> None:
    invoke(data["function_id"], data["data"], action=TriggerAction.Void())


@function
def enqueue(data: Any) -> Any:
    receipt = invoke(
        data["function_id"], data["data"], action=TriggerAction.Enqueue(queue=data["queue"])
    )
    return receipt if isinstance(receipt, dict) else receipt.model_dump()


@function
def call_parallel(data: Any) -> list[Any]:
    with ThreadPoolExecutor(max_workers=len(data["items"])) as threads:
        return list(threads.map(lambda item: invoke(data["function_id"], item), data["items"]))


@function
def list_functions(data: Any) -> list[str]:
    if hasattr(worker, "list_functions"):
        return [info.function_id for info in worker.list_functions()]
    listed = invoke("engine::functions::list", {})["functions"]
    return [info["function_id"] for info in listed]


@function
def list_workers(data: Any) -> list[dict[str, Any]]:
    if hasattr(worker, "list_workers"):
        listed = [vars(info) for info in worker.list_workers()]
    else:
        listed = invoke("engine::workers::list", {})["workers"]
    return [{key: info.get(key) for key in ("name", "runtime", "version")} for info in listed]


@function
def list_triggers(data: Any) -> list[dict[str, str]]:
    return [
        {"trigger_type": info.trigger_type, "function_id": info.function_id}
        for info in worker.list_triggers()
    ]


@function
def register(data: Any) -> None:
    registered[data["id"]] = add_function(data["id"], echo)


@function
def unregister(data: Any) -> None:
    registered[data["id"]].unregister()


@function
def open_route(data: Any) -> None:
    routes[data["path"]] = worker.register_trigger(
        {
            "type": "api",
            "function_id": f"{SERVICE}::get_item",
            "config": {"api_path": data["path"], "http_method": "GET"},
        }
    )


@function
def close_route(data: Any) -> None:
    routes[data["path"]].unregister()


@function
def bind(data: Any) -> None:
    triggers[data["function_id"]] = worker.register_trigger(
        {
            "type": data["trigger_type"],
            "function_id": data["function_id"],
            "config": data["config"],
        }
    )


@function
def unbind(data: Any) -> None:
    triggers[data["function_id"]].unregister()


@function
def offer(data: Any) -> None:
    worker.register_trigger_type({"id": data["id"], "description": "One more bell"}, BellProvider())


@function
def bells(data: Any) -> list[dict[str, Any]]:
    return list(bound.values())


@function
def ring(data: Any) -> list[Any]:
    rung = [bell for bell in bound.values() if bell["function_id"] == data["function_id"]]
    return [invoke(bell["function_id"], data["payload"]) for bell in rung]


@function
def available(data: Any) -> list[str]:
    return seen


def pattern(size: int) -> bytes:
    """Return a body; what the byte at each place is, whoever writes it."""
    return bytes(place % 251 for place in range(size))


def summary(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "is_right": data == pattern(len(data))}


@function
def open_channel(data: Any) -> dict[str, Any]:
    channel = worker.create_channel() if RELEASE < (0, 21) else create_channel(worker)
    return {"writer": channel.writer_ref.model_dump(), "reader": channel.reader_ref.model_dump()}


@function
async def write_channel(data: Any) -> None:
    writer = data["writer"]
    await writer.send_message_async(data["message"])
    await writer.write(pattern(data["size"]))
    await writer.close_async()


@function
async def read_channel(data: Any) -> dict[str, Any]:
    messages: list[str] = []
    reader = data["reader"]
    reader.on_message(messages.append)
    return {"messages": messages, **summary(await reader.read_all())}


async def download(request: Any, response: Any) -> None:
    await response.status(201)
    await response.headers({"content-type": "application/octet-stream", "x-by": SERVICE})
    await response.writer.write(pattern(int(request.path_params["size"])))
    await response.writer.close_async()


async def upload(request: Any, response: Any) -> dict[str, Any]:
    return {"status_code": 200, "body": summary(await request.request_body.read_all())}


async def events(request: Any, response: Any) -> None:
    await response.headers({"content-type": "text/event-stream"})
    for number in range(int(request.path_params["count"])):
        await response.writer.write(f"data: {number}\n\n".encode())
    await response.writer.close_async()


ROUTES = (
    (download, "GET", "download/:size"),
    (upload, "POST", "upload"),
    (events, "GET", "events/:count"),
)


class OwnStream(IStream[Any]):
    """Keeps the items of a stream in this worker."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, Any]] = {}

    async def get(self, input: Any) -> Any:
        return self._groups.get(input.group_id, {}).get(input.item_id)

    async def set(self, input: Any) -> Any:
        group = self._groups.setdefault(input.group_id, {})
        old_value = group.get(input.item_id)
        group[input.item_id] = {**input.data, "kept_by": SERVICE}
        return StreamSetResult(old_value=old_value, new_value=group[input.item_id])

    async def delete(self, input: Any) -> Any:
        old_value = self._groups.get(input.group_id, {}).pop(input.item_id, None)
        return StreamDeleteResult(old_value=old_value)

    async def list(self, input: Any) -> Any:
        return [*self._groups.get(input.group_id, {}).values()]

    async def list_groups(self, input: Any) -> Any:
        return [*self._groups]

    async def update(self, input: Any) -> Any:
        return None


@function
def own_stream(data: Any) -> None:
    if RELEASE < (0, 21):
        worker.create_stream(data["name"], OwnStream())
    else:
        create_stream(worker, data["name"], OwnStream())


@function
def get_item(data: Any) -> dict[str, Any]:
    return {
        "status_code": 200,
        "headers": {"Content-Type": "application/json"},
        "body": {"id": data["path_params"]["id"], "by": SERVICE},
    }


def remember_available(functions: list[Any]) -> None:
    """Keep the ids of the last functions-available event."""
    seen[:] = [info.function_id for info in functions]


def main() -> None:
    """Register triggers and serve until SIGTERM."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    worker.register_trigger_type(
        {"id": f"{SERVICE}::bell", "description": "Rings on demand"}, BellProvider()
    )
    worker.register_trigger(
        {
            "type": "http",
            "function_id": f"{SERVICE}::get_item",
            "config": {"api_path": f"/{SERVICE}/items/:id", "http_method": "GET"},
        }
    )
    for handler, method, path in ROUTES:
        function_id = f"{SERVICE}::{handler.__name__}"
        add_function(function_id, http(handler))
        config = {"api_path": f"/{SERVICE}/{path}", "http_method": method}
        worker.register_trigger({"type": "http", "function_id": function_id, "config": config})
    if hasattr(worker, "on_functions_available"):
        worker.on_functions_available(remember_available)
    invoke(f"{SERVICE}::echo", {}, timeout_ms=60_000)
    print("ready", flush=True)
    stopped.wait()
    worker.shutdown()


main()
