"""One connected worker: a message in, an engine call, replies out.

The session does no I/O: it gets whole messages from a socket and puts frames into an outbox.
Messages of one connection are handled strictly in their order, each to its end; nothing here
waits, so a worker may call itself, and a slow callee delays nobody.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from engine.core import long_strings, outgoing, protocol
from engine.core.errors import InvalidNamespace
from engine.core.function_queue import QueuedCall, queueing_function
from engine.core.functions import FunctionRegistration
from engine.core.invocations import STOPPED, Invocation, not_found
from engine.core.log_limit import LogLimit
from engine.core.long_strings import LONG_FROM
from engine.core.outgoing import ERROR, RESULT, Outgoing
from engine.core.protocol import DEFAULT_NAMESPACE, NULL, Frame
from engine.core.triggers import ProvidedTriggerType, Trigger
from engine.core.worker_info import FRAME_LIMIT, UNKNOWN_WORKER, WorkerInfo

if TYPE_CHECKING:
    from engine.core.engine import Engine

logger = logging.getLogger(__name__)

# How many functions, triggers, trigger types or services one connection may hold.
MAX_REGISTRATIONS: Final = 100_000
# At most one log line a second about broken frames of one connection.
COMPLAINT_INTERVAL_S: Final = 1.0
# The close code for connections that the engine ends: SDKs reconnect after it, which many Python
# SDKs do not after a clean close (1000, 1001, none).
SERVICE_RESTART: Final = 1012

_REJECTION_SINCE: Final = (0, 23)


class Outbox(Protocol):
    """The writing half of a worker's connection; its queue is bounded."""

    def offer(self, frame: Outgoing) -> bool:
        """Queue an invocation; False, and nothing is queued, when the queue is full."""

    def push(self, frame: Outgoing) -> None:
        """Queue a result or control frame; a peer that never reads is cut off, not refused."""

    def close(self, code: int, reason: str = "") -> None:
        """End the connection after what is queued."""


class WorkerSession:
    """The engine's side of one worker connection.

    Attributes:
        worker_id: new for every connection, never reused.
        executing: the calls that this worker works on, by the id of their hop.
        calling: the calls that this worker waits for.
        frame_limit: the largest message in bytes that its SDK reads.
        reads_strictly: its SDK drops frames with extreme numbers or nesting.
        functions: what it offers, by id.
        triggers: what it has bound, by trigger id.
        trigger_types: what it provides, by type id.
        is_internal: it is a process of the engine's own: it may call internal functions, and
            counts as no worker.
    """

    def __init__(
        self,
        engine: Engine,
        outbox: Outbox,
        ip_address: str | None = None,
        *,
        is_internal: bool = False,
    ) -> None:
        self.engine = engine
        self.outbox = outbox
        self.ip_address = ip_address
        self.is_internal = is_internal
        self.worker_id = outgoing.random_uuid()
        self.reattach_token = outgoing.random_uuid()
        self.connected_at_ms = time.time_ns() // 1_000_000
        self.info: WorkerInfo = UNKNOWN_WORKER
        self.namespace = DEFAULT_NAMESPACE
        self.frame_limit = FRAME_LIMIT
        self.reads_strictly = False
        self.executing: dict[str, Invocation] = {}
        self.calling: set[Invocation] = set()
        self.functions: dict[str, FunctionRegistration] = {}
        self.triggers: dict[str, Trigger] = {}
        self.trigger_types: dict[str, ProvidedTriggerType] = {}
        self.services: dict[str, protocol.RegisterService] = {}
        self.is_worker = False
        self.is_closed = False
        self._default_functions = engine.functions.default
        self._router = engine.invocations
        self._complaints = LogLimit(logger, COMPLAINT_INTERVAL_S)

    @property
    def name(self) -> str | None:
        """The worker's name, as far as it has said one."""
        return self.info.name

    def open(self) -> None:
        """Greet the connection: the engine speaks first."""
        self.engine.workers.connected(self)
        self.outbox.push(outgoing.worker_registered(self.worker_id, self.reattach_token))

    # --- messages in --------------------------------------------------------------------------

    def on_text(self, payload: bytes) -> None:
        """Handle one text message, valid UTF-8."""
        try:
            if len(payload) < LONG_FROM:
                frame = protocol.decode_frame(payload)
            else:
                frame = long_strings.decode_frame(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            self._on_malformed(payload, error)
            return
        if not self.is_worker and not self._become_worker():
            return
        kind = frame.type
        if kind == "invokefunction":
            self._on_invoke(frame)
        elif kind == "invocationresult":
            self._on_result(frame)
        else:
            self._on_control(kind, payload)

    def on_binary(self, payload: bytes) -> None:
        """Handle one binary message: telemetry by its prefix, else perhaps a JSON message."""
        if payload[:4] in protocol.TELEMETRY_PREFIXES:
            return
        if payload[:1] == b"{" and protocol.is_utf8(payload):
            self.on_text(payload)
        else:
            self._complain("binary message is neither telemetry nor JSON")

    def _become_worker(self) -> bool:
        """Count as a worker from the first message on; an evicted connection is not heard."""
        if self.is_closed:
            return False
        self.is_worker = True
        self.engine.workers.appeared(self)
        return True

    def _on_invoke(self, frame: Frame) -> None:
        function_id = frame.function_id or frame.function_path
        invocation_id = frame.invocation_id
        reply_to = None if invocation_id is None else protocol.encode(invocation_id)
        if frame.action and bytes(frame.action) != NULL:
            if not self._accept_action(frame, reply_to):
                return
            reply_to = None
        if function_id is None:
            self._complain("invokefunction names no function_id")
            self._answer_error(
                reply_to, '""', "deserialization_error", "invokefunction: function_id is missing"
            )
            return
        if frame.namespace is None and self.namespace is DEFAULT_NAMESPACE:
            function = self._default_functions.get(function_id)
        else:
            function = self._resolve(frame, function_id)
        if function is None:
            if self.is_internal and frame.namespace is None:
                function = self.engine.functions.internal.get(function_id)
            if function is None:
                self._answer_unknown(frame, function_id, reply_to)
                return
        self._router.start(
            function,
            frame.data or NULL,
            self,
            None if reply_to is None else self,
            reply_to,
            frame.traceparent,
            frame.baggage,
            frame.metadata,
        )

    def _resolve(self, frame: Frame, function_id: str) -> Any:
        return self.engine.functions.resolve(function_id, frame.namespace, self.namespace)

    def _accept_action(self, frame: Frame, reply_to: bytes | None) -> bool:
        """Return whether the call goes on as one that nobody waits for."""
        function_id = frame.function_id or frame.function_path or ""
        try:
            action = protocol.decode_action(frame.action)
        except msgspec.DecodeError as error:
            self._answer_error(
                reply_to, protocol.encode(function_id), "deserialization_error", f"action: {error}"
            )
            return False
        if action.type == "void":
            return True
        if action.type == "enqueue" and function_id:
            self._enqueue(frame, function_id, action.queue or "", reply_to)
            return False
        if action.type == "enqueue":
            message = "invokefunction: function_id is missing"
        else:
            message = f"action.type {action.type!r} is unknown; use 'enqueue' or 'void'"
        self._answer_error(reply_to, protocol.encode(function_id), "deserialization_error", message)
        return False

    def _enqueue(self, frame: Frame, function_id: str, queue: str, reply_to: bytes | None) -> None:
        """Queue a call instead of making it."""
        if frame.namespace is not None and not frame.namespace.strip():
            self._answer_unknown(frame, function_id, reply_to)
            return
        queued = QueuedCall(
            function_id,
            bytes(frame.data) or NULL,
            bytes(frame.action),
            queue,
            frame.traceparent,
            frame.baggage,
            _present(frame.metadata),
            frame.namespace,
            self.namespace,
        )
        self._router.start(
            queueing_function(self.engine, queued),
            NULL,
            self,
            None if reply_to is None else self,
            reply_to,
            frame.traceparent,
            frame.baggage,
            b"",
        )

    def _answer_unknown(self, frame: Frame, function_id: str, reply_to: bytes | None) -> None:
        if frame.namespace is not None and not frame.namespace.strip():
            code, message = InvalidNamespace.code, "namespace is blank"
        else:
            code, message = not_found(function_id, frame.namespace)
        if reply_to is None:
            self._complain(message)
        self._answer_error(reply_to, protocol.encode(function_id), code, message)

    def _answer_error(
        self, reply_to: bytes | None, function_id: bytes | str, code: str, message: str
    ) -> None:
        if reply_to is None:
            return
        json_id = function_id.encode() if isinstance(function_id, str) else function_id
        value = protocol.encode_error(code, message)
        self.outbox.push(outgoing.result_frame(reply_to, json_id, ERROR, value, None, None))

    def _on_result(self, frame: Frame) -> None:
        # Only from the worker that got the call, and only once: anything else is unknown here.
        invocation = self.executing.pop(frame.invocation_id or "", None)
        if invocation is None or invocation.caller is None:
            return
        error = frame.error
        if error and bytes(error) != NULL:
            invocation.finish(
                ERROR, protocol.normal_error(bytes(error)), frame.traceparent, frame.baggage
            )
        else:
            invocation.finish(RESULT, frame.result, frame.traceparent, frame.baggage)

    def _on_malformed(self, payload: bytes, error: Exception) -> None:
        if not payload.strip():
            return
        found = protocol.salvage(payload)
        problem = f"message cannot be decoded: {error}"
        self._complain(problem)
        if found.invocation_id is None:
            return
        if found.type == "invokefunction":
            self._answer_error(
                protocol.encode(found.invocation_id),
                protocol.encode(found.function_id),
                "deserialization_error",
                problem,
            )
        elif found.type == "invocationresult":
            invocation = self.executing.pop(found.invocation_id, None)
            if invocation is not None:
                invocation.fail("deserialization_error", f"the worker's answer: {problem}")

    # --- answers out --------------------------------------------------------------------------

    def answer(
        self,
        invocation: Invocation,
        kind: bytes,
        value: bytes | msgspec.Raw,
        traceparent: str | None,
        baggage: str | None,
    ) -> None:
        """Send this worker the outcome of a call that it made."""
        if self.reads_strictly and not protocol.fits_strict_reader(value):
            self._answer_error(
                invocation.reply_to,
                invocation.function.json_id,
                "deserialization_error",
                f"the result is more than this SDK reads: {protocol.STRICT_REASON}",
            )
            return
        frame = outgoing.result_frame(
            invocation.reply_to, invocation.function.json_id, kind, value, traceparent, baggage
        )
        if len(frame) > self.frame_limit:
            self._answer_error(
                invocation.reply_to,
                invocation.function.json_id,
                "payload_too_large",
                f"the result has {len(frame)} bytes, this SDK reads {self.frame_limit}; "
                "use a channel or a newer SDK",
            )
            return
        if not self.outbox.offer(frame):  # the rule; the reserve is for results that do not fit
            self.outbox.push(frame)

    # --- registrations ------------------------------------------------------------------------

    def _on_control(self, kind: str, payload: bytes) -> None:
        if kind == "ping":
            self.outbox.push(outgoing.PONG)
            return
        entry = _CONTROL.get(kind)
        if entry is None:
            if kind not in _IGNORED:
                self._complain(f"message type {kind!r} is unknown")
            return
        decode, handle = entry
        try:
            message = decode(payload)
        except msgspec.DecodeError as error:
            self._complain(f"{kind}: {error}")
            return
        handle(self, message)

    def _on_register_function(self, message: protocol.RegisterFunction) -> None:
        function_id = message.id or message.function_path or message.function_id
        if not function_id:
            self._complain("registerfunction: id is empty")
            return
        if self.engine.functions.is_taken_by_builtin(function_id):
            self._reject_function(function_id)
            return
        if not self._has_room(self.functions, function_id):
            return
        registration = FunctionRegistration(
            id=function_id,
            owner=self,
            description=message.description or "",
            request_format=_present(message.request_format),
            response_format=_present(message.response_format),
            metadata=_present(message.metadata),
            invocation=_present(message.invocation),
        )
        self.functions[function_id] = registration
        self.engine.functions.add(registration, self.namespace)

    def _reject_function(self, function_id: str) -> None:
        logger.warning(
            "worker may not take the id of a built-in function",
            extra={"function_id": function_id, "worker_id": self.worker_id},
        )
        if self.info.version_key >= _REJECTION_SINCE:
            self.outbox.push(outgoing.function_rejected(function_id, self.namespace, ""))

    def _on_unregister_function(self, message: protocol.UnregisterFunction) -> None:
        function_id = message.id or message.function_path or message.function_id or ""
        registration = self.functions.pop(function_id, None)
        if registration is None:
            self._complain(f"unregisterfunction: {function_id!r} is not this worker's")
            return
        self.engine.functions.remove(registration, self.namespace)

    def _on_register_service(self, message: protocol.RegisterService) -> None:
        if self._has_room(self.services, message.id):
            self.services[message.id] = message

    def _on_register_type(self, message: protocol.RegisterTriggerType) -> None:
        if not message.id:
            self._complain("registertriggertype: id is empty")
            return
        if self.engine.triggers.is_taken_by_builtin(message.id):
            logger.warning(
                "worker may not take a built-in trigger type",
                extra={"trigger_type": message.id, "worker_id": self.worker_id},
            )
            return
        if self._has_room(self.trigger_types, message.id):
            provider = ProvidedTriggerType(message, self)
            self.trigger_types[message.id] = provider
            self.engine.triggers.add_provider(provider, self.namespace)

    def _on_unregister_type(self, message: protocol.UnregisterTriggerType) -> None:
        provider = self.trigger_types.pop(message.id, None)
        if provider is None:
            self._complain(f"unregistertriggertype: {message.id!r} is not this worker's")
            return
        self.engine.triggers.remove_provider(provider, self.namespace)

    def _on_register_trigger(self, message: protocol.RegisterTrigger) -> None:
        function_id = message.function_id or message.function_path
        if not message.id or not message.trigger_type or not function_id:
            self._complain("registertrigger: id, trigger_type or function_id is empty")
            return
        if not self._has_room(self.triggers, message.id):
            return
        former = self.triggers.pop(message.id, None)
        if former is not None:
            self.engine.triggers.remove(former)
        metadata = _present(message.metadata)
        trigger = Trigger(
            id=message.id,
            # Shared: there may be a hundred thousand triggers of one type and function.
            trigger_type=sys.intern(message.trigger_type),
            function_id=sys.intern(function_id),
            config=bytes(message.config) or NULL,
            metadata=metadata or None,
            namespace=message.namespace or None,
            trigger_namespace=message.trigger_namespace or None,
            owner=self,
        )
        self.triggers[message.id] = trigger
        self.engine.triggers.add(trigger)

    def _on_unregister_trigger(self, message: protocol.UnregisterTrigger) -> None:
        trigger = self.triggers.pop(message.id, None)
        if trigger is not None:
            self.engine.triggers.remove(trigger)
            return
        # A trigger that belongs to nobody may be taken back by anybody.
        for orphan in self.engine.triggers.by_id(message.id):
            if orphan.owner is None:
                self.engine.triggers.remove(orphan)
                return
        self._complain(f"unregistertrigger: {message.id!r} is not this worker's")

    def _on_trigger_result(self, message: protocol.TriggerRegistrationResult) -> None:
        error = _present(message.error)
        self.engine.triggers.settle(
            self, message.id, protocol.normal_error(error) if error else b""
        )

    def _on_reattach(self, message: protocol.Reattach) -> None:
        former = self.engine.workers.find(message.previous_worker_id)
        if former is None or former is self or former.reattach_token != message.reattach_token:
            return
        logger.info(
            "worker reattaches: its former connection is dropped",
            extra={"worker_id": self.worker_id, "former_worker_id": former.worker_id},
        )
        former.close()
        former.outbox.close(SERVICE_RESTART, "reattached")

    def _has_room(self, registrations: dict[str, Any], new_id: str) -> bool:
        if len(registrations) < MAX_REGISTRATIONS or new_id in registrations:
            return True
        self._complain(f"more than {MAX_REGISTRATIONS} registrations: {new_id!r} is refused")
        return False

    # --- life ---------------------------------------------------------------------------------

    def introduce(self, info: WorkerInfo) -> None:
        """Take what the worker says about itself; the first call decides the namespace.

        Raises:
            InvalidNamespace: the namespace is blank.
        """
        if info.namespace is not None and not info.namespace.strip():
            raise InvalidNamespace("namespace is blank")
        is_first = self.info is UNKNOWN_WORKER
        self.info = info
        self.frame_limit = info.frame_limit
        self.reads_strictly = info.reads_strictly
        if is_first and info.namespace not in {None, DEFAULT_NAMESPACE}:
            self._move_to(info.namespace)
        self.engine.workers.introduced(self)

    def _move_to(self, namespace: str | None) -> None:
        # SDKs register first and say their namespace last: what came before moves along.
        former, self.namespace = self.namespace, namespace or DEFAULT_NAMESPACE
        for registration in self.functions.values():
            self.engine.functions.remove(registration, former)
            self.engine.functions.add(registration, self.namespace)
        for provider in self.trigger_types.values():
            self.engine.triggers.remove_provider(provider, former)
            self.engine.triggers.add_provider(provider, self.namespace)

    def close(self) -> None:
        """Forget the worker: everything that this connection owned, and nothing else. Once."""
        if self.is_closed:
            return
        self.is_closed = True
        self.is_worker = False
        engine = self.engine
        for registration in self.functions.values():
            engine.functions.remove(registration, self.namespace)
        self._halt_invocations()
        for trigger in self.triggers.values():
            engine.triggers.remove(trigger, gone=True)
        for provider in self.trigger_types.values():
            engine.triggers.remove_provider(provider, self.namespace)
        self.functions.clear()
        self.triggers.clear()
        self.trigger_types.clear()
        engine.workers.disconnected(self)

    def _halt_invocations(self) -> None:
        for invocation in self.calling:  # nobody waits any more
            invocation.caller = None
            if invocation.callee is not None:
                invocation.callee.executing.pop(invocation.id, None)
        self.calling.clear()
        executing, self.executing = self.executing, {}
        for invocation in executing.values():
            invocation.finish(ERROR, STOPPED)

    def _complain(self, problem: str) -> None:
        extra = {"worker_id": self.worker_id, "worker_name": self.name}
        self._complaints.warning(problem[:500], extra)


def _control(
    message: type[Any], handle: Callable[[WorkerSession, Any], None]
) -> tuple[Callable[[bytes], Any], Callable[[WorkerSession, Any], None]]:
    return msgspec.json.Decoder(message).decode, handle


# All messages of a worker but calls and results: how each is read and who handles it.
_CONTROL: Final = {
    "registerfunction": _control(protocol.RegisterFunction, WorkerSession._on_register_function),
    "unregisterfunction": _control(
        protocol.UnregisterFunction, WorkerSession._on_unregister_function
    ),
    "registerservice": _control(protocol.RegisterService, WorkerSession._on_register_service),
    "registertriggertype": _control(protocol.RegisterTriggerType, WorkerSession._on_register_type),
    "unregistertriggertype": _control(
        protocol.UnregisterTriggerType, WorkerSession._on_unregister_type
    ),
    "registertrigger": _control(protocol.RegisterTrigger, WorkerSession._on_register_trigger),
    "unregistertrigger": _control(protocol.UnregisterTrigger, WorkerSession._on_unregister_trigger),
    "triggerregistrationresult": _control(
        protocol.TriggerRegistrationResult, WorkerSession._on_trigger_result
    ),
    "reattach": _control(protocol.Reattach, WorkerSession._on_reattach),
}

# Messages that are welcome and mean nothing to this engine: the answer to a ping that it does
# not send, and those of a protocol family that it does not advertise.
_IGNORED: Final = frozenset(
    {"pong", "observe", "unobserve", "observerack", "invocationsobserved", "localinvocationstats"}
)


def _present(raw: msgspec.Raw) -> bytes:
    """Return a raw member as JSON text, empty if it is absent or null."""
    text = bytes(raw)
    return b"" if text == NULL else text
