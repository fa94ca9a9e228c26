"""What exists, as the list and info functions show it: one value for each thing.

Where old and new SDKs expect different shapes an entry is a superset of both.

Source: protocol.md sections 8.2 and 8.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine.core.functions import Function, short_worker_name
from engine.core.payloads import metadata_member, raw_or_none
from engine.core.protocol import DEFAULT_NAMESPACE
from engine.core.triggers import Binding, TriggerTypeEntry

if TYPE_CHECKING:
    from engine.core.session import WorkerSession

MAX_SUMMARY = 80  # characters


def is_internal(function: Function) -> bool:
    """Tell whether lists hide a function: the engine's own, or marked so by its metadata."""
    if function.id.startswith("engine::") and not function.id.startswith("engine::queue::"):
        return True
    return metadata_member(function.serving.metadata, "internal") is True


def function_entry(function: Function, *, old_formats: bool = False) -> dict[str, Any]:
    """Return a function as lists show it; members without a value are `null`.

    Args:
        function: what to show.
        old_formats: give formats only in the small form that Python SDKs below 0.10 can read;
            they raise on any other.
    """
    serving = function.serving
    return {
        "function_id": function.id,
        "namespace": function.namespace,
        "worker_name": function_worker_name(function),
        "description": serving.description or None,
        "request_format": _format(serving.request_format, old_formats),
        "response_format": _format(serving.response_format, old_formats),
        "metadata": raw_or_none(serving.metadata),
    }


def _format(text: bytes, old_formats: bool) -> msgspec.Raw | None:
    if not text or (old_formats and metadata_member(text, "name") is None):
        return None
    return msgspec.Raw(text)


def worker_entry(session: WorkerSession) -> dict[str, Any]:
    """Return a worker as lists show it: every member that any SDK generation requires."""
    info = session.info
    active = len(session.executing)
    return {
        "id": session.worker_id,
        "name": worker_name(session),
        "description": info.description,
        "version": info.version,
        "namespace": session.namespace,
        "runtime": info.runtime,
        "os": info.os,
        "pid": info.pid,
        "isolation": info.isolation,
        "ip_address": session.ip_address,
        "status": "busy" if active else "available" if info.runtime else "connected",
        "connected_at_ms": session.connected_at_ms,
        "function_count": len(session.functions),
        "functions": list(session.functions),
        "active_invocations": active,
        "internal": session.is_internal,
        "latest_metrics": None,
    }


def module_entry(name: str) -> dict[str, Any]:
    """Return a module of the engine in the shape of a worker."""
    return {
        "id": name,
        "name": name,
        "description": None,
        "version": None,
        "namespace": DEFAULT_NAMESPACE,
        "runtime": "engine",
        "os": None,
        "pid": None,
        "isolation": "in-process",
        "ip_address": None,
        "status": "available",
        "connected_at_ms": 0,
        "function_count": 0,
        "functions": [],
        "active_invocations": 0,
        "internal": True,
        "latest_metrics": None,
    }


def worker_name(session: WorkerSession) -> str:
    """Return a worker's name; an unnamed one goes by the service part of its first function."""
    if session.name:
        return session.name
    first = next(iter(session.functions), None)
    return session.worker_id if first is None else short_worker_name(first)


def function_worker_name(function: Function) -> str:
    """Return the name of the worker that serves a function, `engine` for built-ins."""
    owner = function.serving.owner
    if owner is None:
        return "engine"
    return owner.name or short_worker_name(function.id)


def trigger_entry(binding: Binding) -> dict[str, Any]:
    """Return a trigger in the shape of the old SDKs' list helpers."""
    trigger = binding.trigger
    entry: dict[str, Any] = {
        "id": trigger.id,
        "trigger_type": trigger.trigger_type,
        "function_id": trigger.function_id,
        "config": msgspec.Raw(trigger.config),
    }
    if trigger.metadata is not None:
        entry["metadata"] = msgspec.Raw(trigger.metadata)
    return entry


def registered_trigger_entry(binding: Binding) -> dict[str, Any]:
    """Return a trigger with its worker, state and a summary of its config."""
    trigger = binding.trigger
    return {
        "id": trigger.id,
        "trigger_type": trigger.trigger_type,
        "function_id": trigger.function_id,
        "worker_name": trigger_worker_name(binding),
        "config": msgspec.Raw(trigger.config),
        "config_summary": trigger.config.decode(errors="replace")[:MAX_SUMMARY],
        "state": binding.state.value,
        "error": raw_or_none(binding.error),
    }


def trigger_worker_name(binding: Binding) -> str | None:
    """Return the name of the worker that owns a trigger, None for nobody's."""
    owner = binding.trigger.owner
    return None if owner is None else worker_name(owner)


def trigger_type_entry(entry: TriggerTypeEntry) -> dict[str, Any]:
    """Return a trigger type as the new lists show it."""
    return {
        "id": entry.id,
        "namespace": entry.namespace,
        "worker_name": type_worker_name(entry),
        "description": type_description(entry),
    }


def type_worker_name(entry: TriggerTypeEntry) -> str | None:
    """Return the name of the worker that provides a trigger type, `engine` for built-ins."""
    provider = entry.provider
    if provider is None:
        return None
    return "engine" if provider.owner is None else worker_name(provider.owner)


def type_description(entry: TriggerTypeEntry) -> str:
    """Return what the provider says of a trigger type."""
    return "" if entry.provider is None else entry.provider.description


def type_formats(entry: TriggerTypeEntry, config: str, payload: str) -> dict[str, Any]:
    """Return the two formats of a trigger type under these names, `None` where there is none."""
    provider = entry.provider
    if provider is None:
        return {}
    return {
        config: raw_or_none(provider.trigger_request_format),
        payload: raw_or_none(provider.call_request_format),
    }
