"""`engine::functions|workers|triggers|…::list` and `::info`: what exists, for every generation.

Where old and new SDKs expect different shapes the answer is a superset of both. The one real
conflict is `engine::triggers::list`: triggers for old callers, trigger types for new ones.

Source: protocol.md sections 8.2 and 8.3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from engine.core.errors import InvalidArguments, NotFound
from engine.core.functions import Call, Function
from engine.core.payloads import raw_or_none, read_payload
from engine.core.protocol import DEFAULT_NAMESPACE, encode
from engine.modules.worker.entries import (
    function_entry,
    function_worker_name,
    is_internal,
    module_entry,
    registered_trigger_entry,
    trigger_entry,
    trigger_type_entry,
    trigger_worker_name,
    type_description,
    type_formats,
    type_worker_name,
    worker_entry,
    worker_name,
)

if TYPE_CHECKING:
    from engine.core.engine import Engine
    from engine.core.session import WorkerSession

MAX_BATCH = 32

# The first SDK version whose users mean trigger types by `engine::triggers::list`.
TYPES_SINCE = (0, 13)
# The first Python SDK that can read JSON Schemas in function entries.
SCHEMAS_SINCE = (0, 10)


class Filter(msgspec.Struct):
    """What the list functions narrow by; every member is optional."""

    search: str | None = None
    prefix: str | None = None
    worker: str | None = None
    workers: list[str] | None = None
    include_internal: bool | None = None
    include_aliases: bool | None = None
    worker_id: str | None = None
    runtime: str | None = None
    status: str | None = None
    trigger_type: str | None = None
    function_id: str | None = None

    def matches(self, item_id: str, description: str, worker_name: str | None) -> bool:
        """Tell whether an item passes `search`, `prefix`, `worker` and `workers`."""
        if self.prefix is not None and not item_id.startswith(self.prefix):
            return False
        if self.search is not None:
            wanted = self.search.casefold()
            if wanted not in item_id.casefold() and wanted not in description.casefold():
                return False
        if self.worker is not None and worker_name != self.worker:
            return False
        return self.workers is None or worker_name in self.workers


class FunctionInfoInput(msgspec.Struct):
    """The payload of `engine::functions::info`: one id or up to 32."""

    function_id: str | None = None
    function_ids: list[str] | None = None
    namespace: str | None = None


class IdInput(msgspec.Struct):
    """The payload of `engine::triggers::info` and `engine::registered-triggers::info`."""

    id: str
    namespace: str | None = None


class NameInput(msgspec.Struct):
    """The payload of `engine::workers::info`; `name` may be an id too."""

    name: str
    namespace: str | None = None


class Introspection:
    """The list and info functions over one engine's registries."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def register(self) -> None:
        """Install all of them, under both generations of names."""
        functions: tuple[tuple[str, Callable[[Call], bytes], str], ...] = (
            ("functions::list", self.list_functions, "List functions"),
            ("functions::info", self.function_info, "Describe one function or several"),
            ("workers::list", self.list_workers, "List connected workers"),
            ("workers::info", self.worker_info, "Describe one worker"),
            ("triggers::list", self.list_triggers, "List trigger types; for old SDKs triggers"),
            ("triggers::info", self.trigger_type_info, "Describe one trigger type"),
            ("trigger-types::list", self.list_trigger_types, "List trigger types"),
            ("registered-triggers::list", self.list_registered_triggers, "List triggers"),
            ("registered-triggers::info", self.registered_trigger_info, "Describe one trigger"),
        )
        for name, handler, description in functions:
            self.engine.register_function(
                f"engine::{name}",
                handler,
                description=description,
                aliases=(f"engine.{name.replace('::', '.')}",),
            )

    # --- functions ----------------------------------------------------------------------------

    def list_functions(self, call: Call) -> bytes:
        """Answer `{functions: […]}`; internal ones and aliases only if asked for."""
        wanted = read_payload(call, Filter)
        old = _reads_old_formats(call.caller)
        entries = [
            function_entry(function, old_formats=old)
            for function in self.engine.functions
            if (function.alias_of is None or wanted.include_aliases)
            and (wanted.include_internal or not is_internal(function))
            and wanted.matches(
                function.id, function.serving.description, function_worker_name(function)
            )
        ]
        return encode({"functions": entries})

    def function_info(self, call: Call) -> bytes:
        """Answer one description, or `{functions: […]}` for `function_ids`."""
        wanted = read_payload(call, FunctionInfoInput)
        if (wanted.function_id is None) == (wanted.function_ids is None):
            raise InvalidArguments(
                f"{call.function_id}: give either function_id or function_ids, not both or neither"
            )
        namespace = wanted.namespace or DEFAULT_NAMESPACE
        if wanted.function_id is not None:
            function = self.engine.functions.find(wanted.function_id, namespace)
            if function is None:
                raise NotFound(f"function {wanted.function_id} does not exist in {namespace}")
            return encode(self._describe_function(function))
        ids = wanted.function_ids or []
        if len(ids) > MAX_BATCH:
            raise InvalidArguments(f"{call.function_id}: at most {MAX_BATCH} function_ids")
        return encode({"functions": [self._describe_or_error(each, namespace) for each in ids]})

    def _describe_or_error(self, function_id: str, namespace: str) -> dict[str, Any]:
        function = self.engine.functions.find(function_id, namespace)
        if function is None:
            return {"function_id": function_id, "error": "not_found"}
        return self._describe_function(function)

    def _describe_function(self, function: Function) -> dict[str, Any]:
        serving = function.serving
        return _without_none(
            {
                "function_id": function.id,
                "namespace": function.namespace,
                "worker_name": function_worker_name(function),
                "description": serving.description or None,
                "request_schema": raw_or_none(serving.request_format),
                "response_schema": raw_or_none(serving.response_format),
                "metadata": raw_or_none(serving.metadata),
                "owner_count": len(function.owners),
                "registered_triggers": [
                    {
                        "id": binding.trigger.id,
                        "trigger_type": binding.trigger.trigger_type,
                        "config": msgspec.Raw(binding.trigger.config),
                    }
                    for binding in self.engine.triggers
                    if binding.trigger.function_id == function.id
                ],
            }
        )

    # --- workers ------------------------------------------------------------------------------

    def list_workers(self, call: Call) -> bytes:
        """Answer `{workers: […], timestamp}`; the engine's own parts only if asked for."""
        wanted = read_payload(call, Filter)
        entries = [
            entry
            for entry in self._worker_entries(include_internal=bool(wanted.include_internal))
            if _passes(entry, wanted)
        ]
        return encode({"workers": entries, "timestamp": time.time_ns() // 1_000_000})

    def _worker_entries(self, *, include_internal: bool) -> Iterable[dict[str, Any]]:
        for session in self.engine.workers:
            yield worker_entry(session)
        if include_internal:
            for session in self.engine.workers.connections:
                if session.is_internal:
                    yield worker_entry(session)
            for module in self.engine.modules:
                if module.built:
                    yield module_entry(module.aliases[0] if module.aliases else module.class_path)

    def worker_info(self, call: Call) -> bytes:
        """Answer one worker with what it has registered."""
        wanted = read_payload(call, NameInput)
        namespace = wanted.namespace or DEFAULT_NAMESPACE
        for session in self.engine.workers:
            is_named = wanted.name in {session.worker_id, worker_name(session)}
            if is_named and session.namespace == namespace:
                return encode(self._describe_worker(session))
        raise NotFound(f"worker {wanted.name} is not connected in {namespace}")

    def _describe_worker(self, session: WorkerSession) -> dict[str, Any]:
        functions = (
            self.engine.functions.find(each, session.namespace) for each in session.functions
        )
        types = (
            self.engine.triggers.find_type(each, session.namespace)
            for each in session.trigger_types
        )
        bindings = (self.engine.triggers.binding(each) for each in session.triggers.values())
        return {
            "worker": worker_entry(session),
            "functions": [function_entry(each) for each in functions if each is not None],
            "trigger_types": [trigger_type_entry(each) for each in types if each is not None],
            "registered_triggers": [
                registered_trigger_entry(each) for each in bindings if each is not None
            ],
        }

    # --- triggers -----------------------------------------------------------------------------

    def list_triggers(self, call: Call) -> bytes:
        """Answer `{triggers: […]}`: triggers for old callers, trigger types for new ones."""
        if _means_triggers(call):
            return encode(
                {
                    "triggers": [
                        trigger_entry(binding)
                        for binding in self.engine.triggers
                        if not binding.trigger.function_id.startswith("engine::")
                    ]
                }
            )
        wanted = read_payload(call, Filter)
        return encode(
            {
                "triggers": [
                    trigger_type_entry(entry)
                    for entry in self.engine.triggers.types()
                    if (wanted.include_internal or not entry.id.startswith("engine::"))
                    and wanted.matches(entry.id, type_description(entry), type_worker_name(entry))
                ]
            }
        )

    def list_trigger_types(self, call: Call) -> bytes:
        """Answer `{trigger_types: […]}` with their formats."""
        wanted = read_payload(call, Filter)
        return encode(
            {
                "trigger_types": [
                    _without_none(
                        {
                            "id": entry.id,
                            "description": type_description(entry),
                            **type_formats(entry, "trigger_request_format", "call_request_format"),
                        }
                    )
                    for entry in self.engine.triggers.types()
                    if wanted.include_internal or not entry.id.startswith("engine::")
                ]
            }
        )

    def trigger_type_info(self, call: Call) -> bytes:
        """Answer one trigger type with its formats and the number of its triggers."""
        wanted = read_payload(call, IdInput)
        entry = self.engine.triggers.find_type(wanted.id, wanted.namespace or DEFAULT_NAMESPACE)
        if entry is None:
            nearest = self.engine.triggers.nearest_type(wanted.id)
            hint = f"; did you mean {nearest!r}?" if nearest else ""
            raise NotFound(f"nobody provides the trigger type {wanted.id}{hint}")
        return encode(
            _without_none(
                {
                    **trigger_type_entry(entry),
                    **type_formats(entry, "configuration_schema", "request_schema"),
                    "instance_count": len(entry.bindings),
                }
            )
        )

    def list_registered_triggers(self, call: Call) -> bytes:
        """Answer `{registered_triggers: […]}` with each trigger's state."""
        wanted = read_payload(call, Filter)
        entries = [
            registered_trigger_entry(binding)
            for binding in self.engine.triggers
            if wanted.trigger_type in {None, binding.trigger.trigger_type}
            and wanted.function_id in {None, binding.trigger.function_id}
            and wanted.matches(
                binding.trigger.id, binding.trigger.function_id, trigger_worker_name(binding)
            )
        ]
        return encode({"registered_triggers": entries})

    def registered_trigger_info(self, call: Call) -> bytes:
        """Answer one trigger with its type and its function, each null if there is none."""
        wanted = read_payload(call, IdInput)
        triggers = self.engine.triggers.by_id(wanted.id)
        binding = self.engine.triggers.binding(triggers[-1]) if triggers else None
        if binding is None:
            raise NotFound(f"trigger {wanted.id} is not registered")
        trigger = binding.trigger
        entry = self.engine.triggers.type_of(trigger)
        function = self.engine.functions.resolve(
            trigger.function_id, trigger.namespace, trigger.owner_namespace
        )
        described = registered_trigger_entry(binding)
        if trigger.metadata is not None:
            described["metadata"] = msgspec.Raw(trigger.metadata)
        described["trigger"] = (
            trigger_type_entry(entry) if entry is not None and entry.providers else None
        )
        described["function"] = function_entry(function) if function is not None else None
        return encode(described)


def _means_triggers(call: Call) -> bool:
    caller = call.caller
    if caller is not None and caller.info.is_older_than(*TYPES_SINCE):
        return True
    try:
        members = msgspec.json.decode(call.data)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(members, dict) and set(members) == {"include_internal"}


def _reads_old_formats(caller: WorkerSession | None) -> bool:
    if caller is None or caller.info.runtime != "python":
        return False
    return caller.info.is_older_than(*SCHEMAS_SINCE)


def _passes(entry: dict[str, Any], wanted: Filter) -> bool:
    return (
        wanted.worker_id in {None, entry["id"]}
        and wanted.runtime in {None, entry["runtime"]}
        and wanted.status in {None, entry["status"]}
        and wanted.matches(entry["name"], entry["description"] or "", entry["name"])
    )


def _without_none(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}
