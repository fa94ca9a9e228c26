"""The acceptance worker for the `III(url)` API (PyPI iii-sdk up to 0.8); see ../README.md."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from iii import III, InitOptions
from iii.triggers import TriggerConfig, TriggerHandler

Handler = Callable[[Any], Awaitable[Any]]

SERVICE = os.environ["SERVICE"]

# The HTTP trigger type was renamed between 0.1 and 0.2.
HTTP = "api" if version("iii-sdk") < "0.2" else "http"

iii = III(os.environ["III_URL"], InitOptions(worker_name=SERVICE))
notes: list[Any] = []
works: list[Any] = []
registered: dict[str, Any] = {}
routes: dict[str, Any] = {}
triggers: dict[str, Any] = {}
bound: dict[str, dict[str, Any]] = {}
seen: list[str] = []


def function(handler: Handler) -> Handler:
    """Register a handler under its own name."""
    iii.register_function(f"{SERVICE}::{handler.__name__}", handler)
    return handler


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
async def echo(data: Any) -> Any:
    return data


@function
async def add(data: Any) -> Any:
    return data["a"] + data["b"]


@function
async def fail(data: Any) -> Any:
    raise RuntimeError("told to fail")


@function
async def nothing(data: Any) -> None:
    return None


@function
async def slow(data: Any) -> str:
    notes.append("slow")
    await asyncio.sleep(data["ms"] / 1000)
    return "done"


@function
async def remember(data: Any) -> None:
    notes.append(data["note"])


@function
async def remembered(data: Any) -> list[Any]:
    return notes


@function
async def make(data: Any) -> str:
    size: int = data["size"]
    return "x" * size


@function
async def work(data: Any) -> None:
    works.append(data)
    if isinstance(data, dict):
        errors, note = data.get("errors", []), data.get("note")
        times = sum(isinstance(each, dict) and each.get("note") == note for each in works)
        if times <= len(errors):
            raise RuntimeError(errors[times - 1])


@function
async def worked(data: Any) -> list[Any]:
    return works


@function
async def measure(data: Any) -> int:
    return len(await iii.call(data["function_id"], data["data"]))


@function
async def call(data: Any) -> dict[str, Any]:
    timeout_s = data.get("timeout_ms", 30_000) / 1000
    try:
        return {"result": await iii.call(data["function_id"], data.get("data"), timeout_s)}
    except Exception as error:
        message = str(error) or type(error).__name__
        return {"error": {"code": getattr(error, "code", None), "message": message}}


@function
async def call_void(data: Any) -> None:
    iii.call_void(data["function_id"], data["data"])


@function
async def call_parallel(data: Any) -> list[Any]:
    calls = [iii.call(data["function_id"], item) for item in data["items"]]
    return list(await asyncio.gather(*calls))


@function
async def list_functions(data: Any) -> list[str]:
    return [info.function_id for info in await iii.list_functions()]


@function
async def list_workers(data: Any) -> list[dict[str, Any]]:
    return [
        {"name": info.name, "runtime": info.runtime, "version": info.version}
        for info in await iii.list_workers()
    ]


@function
async def register(data: Any) -> None:
    registered[data["id"]] = iii.register_function(data["id"], echo)


@function
async def unregister(data: Any) -> None:
    registered[data["id"]].unregister()


@function
async def open_route(data: Any) -> None:
    config = {"api_path": data["path"], "http_method": "GET"}
    routes[data["path"]] = iii.register_trigger(HTTP, f"{SERVICE}::get_item", config)


@function
async def close_route(data: Any) -> None:
    routes[data["path"]].unregister()


@function
async def bind(data: Any) -> None:
    trigger = iii.register_trigger(data["trigger_type"], data["function_id"], data["config"])
    triggers[data["function_id"]] = trigger


@function
async def unbind(data: Any) -> None:
    triggers[data["function_id"]].unregister()


@function
async def offer(data: Any) -> None:
    iii.register_trigger_type(data["id"], "One more bell", BellProvider())


@function
async def bells(data: Any) -> list[dict[str, Any]]:
    return list(bound.values())


@function
async def ring(data: Any) -> list[Any]:
    rung = [bell for bell in bound.values() if bell["function_id"] == data["function_id"]]
    calls = [iii.call(bell["function_id"], data["payload"]) for bell in rung]
    return list(await asyncio.gather(*calls))


@function
async def available(data: Any) -> list[str]:
    return seen


def pattern(size: int) -> bytes:
    """Return a body; what the byte at each place is, whoever writes it."""
    return bytes(place % 251 for place in range(size))


@function
async def open_channel(data: Any) -> dict[str, Any]:
    channel = await iii.create_channel()
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
    body = await reader.read_all()
    return {"messages": messages, "size": len(body), "is_right": body == pattern(len(body))}


@function
async def get_item(data: Any) -> dict[str, Any]:
    return {"status_code": 200, "body": {"id": data["path_params"]["id"], "by": SERVICE}}


def remember_available(functions: list[Any]) -> None:
    """Keep the ids of the last functions-available event."""
    seen[:] = [info.function_id for info in functions]


async def main() -> None:
    """Connect, register, and serve until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    iii.register_trigger_type(f"{SERVICE}::bell", "Rings on demand", BellProvider())
    await iii.connect()
    config = {"api_path": f"/{SERVICE}/items/:id", "http_method": "GET"}
    iii.register_trigger(HTTP, f"{SERVICE}::get_item", config)
    iii.on_functions_available(remember_available)
    await iii.call(f"{SERVICE}::echo", {}, 60)
    print("ready", flush=True)
    await stopped.wait()
    await iii.shutdown()


asyncio.run(main())
