"""The invocation router: from a call to its callee and from the answer back to its caller.

This is the hot path. One call costs a dict lookup, one record, one frame; nothing is parsed that
only passes through. A call is recorded before it is sent: an answer cannot arrive unexpected.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec
from mypy_extensions import mypyc_attr

from engine.core import outgoing, protocol
from engine.core.deferred import Deferred
from engine.core.errors import BackendFailed, EngineError, InvocationFailed
from engine.core.functions import Call, Function, FunctionRegistration, FunctionRegistry
from engine.core.outgoing import ERROR, RESULT, InvocationIds
from engine.core.protocol import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from engine.core.session import WorkerSession

logger = logging.getLogger(__name__)

# A worker that never answers must not make the engine grow for ever.
MAX_EXECUTING: Final = 100_000

CHANNEL_FULL: Final = "channel_send_failed"
"""The code of calls that their worker has not got, as its outbound queue is full."""

STOPPED: Final = protocol.encode_error("invocation_stopped", "Invocation stopped")


class Caller(Protocol):
    """Whoever waits for answers: a worker's connection or the engine itself."""

    calling: set[Invocation]

    def answer(
        self,
        invocation: Invocation,
        kind: bytes,
        value: bytes | msgspec.Raw,
        traceparent: str | None,
        baggage: str | None,
    ) -> None:
        """Take the outcome; `kind` is RESULT or ERROR, an empty value is success without one."""


@mypyc_attr(acyclic=True)
class Invocation:
    """The record of one running call.

    Attributes:
        id: the id of the hop to the callee, new for every call; empty for built-ins.
        caller: None if nobody waits (void).
        reply_to: what the caller needs to know its call again: a worker's id as JSON text, the
            engine's `Reply`.
        function: what was called, by the spelling that the caller used.
        callee: who works on it; None for built-ins.
        traceparent: the caller's trace context, handed back if the callee has none.
        baggage: the caller's, likewise.
    """

    __slots__ = ("baggage", "callee", "caller", "function", "id", "reply_to", "traceparent")

    def __init__(
        self,
        invocation_id: str,
        caller: Caller | None,
        reply_to: Any,
        function: Function,
        callee: WorkerSession | None,
        traceparent: str | None,
        baggage: str | None,
    ) -> None:
        self.id = invocation_id
        self.caller = caller
        self.reply_to = reply_to
        self.function = function
        self.callee = callee
        self.traceparent = traceparent
        self.baggage = baggage

    def finish(
        self,
        kind: bytes,
        value: bytes | msgspec.Raw,
        traceparent: str | None = None,
        baggage: str | None = None,
    ) -> None:
        """Give the outcome to the caller, if one waits."""
        caller = self.caller
        if caller is None:
            return
        caller.calling.discard(self)
        caller.answer(self, kind, value, traceparent or self.traceparent, baggage or self.baggage)

    def fail(self, code: str, message: str) -> None:
        """End the call with an error of the engine's own."""
        self.finish(ERROR, protocol.encode_error(code, message))


Reply: TypeAlias = Callable[[bytes, "bytes | msgspec.Raw"], None]
"""Takes the outcome of a call by the engine: RESULT or ERROR, and JSON text; it must not raise."""


class EngineCaller:
    """The engine as a caller: each of its calls has a `Reply` that takes the outcome."""

    def __init__(self) -> None:
        self.calling: set[Invocation] = set()

    def answer(
        self,
        invocation: Invocation,
        kind: bytes,
        value: bytes | msgspec.Raw,
        traceparent: str | None,
        baggage: str | None,
    ) -> None:
        """Hand the outcome over."""
        invocation.reply_to(kind, value)


def _resolve(future: asyncio.Future[bytes | None], kind: bytes, value: bytes | msgspec.Raw) -> None:
    """Give the outcome of a call to its future, unless whoever waited has given up."""
    if future.done():
        return
    if kind is RESULT:
        future.set_result(bytes(value) or None)
    else:
        future.set_exception(invocation_failed(bytes(value)))


def invocation_failed(error: bytes) -> InvocationFailed:
    """Make the exception of an error body."""
    body = protocol.decode_error(error)
    stacktrace = None if body.stacktrace is msgspec.UNSET else body.stacktrace
    return InvocationFailed(body.code, body.message, stacktrace)


class InvocationRouter:
    """Starts calls; answers find their way by the record that the callee's session holds.

    Attributes:
        is_balanced: calls of a function with several owners go round instead of to the newest.
        caller_member: workers' object payloads get `_caller_worker_id`, as the original does.
    """

    def __init__(self, functions: FunctionRegistry) -> None:
        self._functions = functions
        self._next_id = InvocationIds().next
        self._engine = EngineCaller()
        self._running_builtins: set[asyncio.Future[Any]] = set()
        self._deferred = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_balanced = False
        self.caller_member = False

    def invoke(
        self,
        function_id: str,
        data: bytes,
        *,
        traceparent: str | None = None,
        baggage: str | None = None,
        metadata: bytes = b"",
        namespace: str | None = None,
        sender_namespace: str = DEFAULT_NAMESPACE,
    ) -> asyncio.Future[bytes | None]:
        """Call a function in the engine's own name; see `call` for the arguments.

        Returns:
            A future of the result as JSON text, None for success without a value. It fails with
            InvocationFailed and may be cancelled; the engine sets no timeout of its own.
        """
        future = self._new_future()
        self.call(
            function_id,
            data,
            partial(_resolve, future),
            traceparent,
            baggage,
            metadata,
            namespace,
            sender_namespace,
        )
        return future

    def invoke_internal(self, function_id: str, data: bytes) -> asyncio.Future[bytes | None]:
        """Call an internal function; see `invoke`."""
        future = self._new_future()
        reply = partial(_resolve, future)
        function = self._functions.internal.get(function_id)
        if function is None:
            reply(ERROR, protocol.encode_error(*not_found(function_id, None)))
        else:
            self.start(function, data, None, self._engine, reply, None, None, b"")
        return future

    def _new_future(self) -> asyncio.Future[bytes | None]:
        if self._loop is None:
            # Asking asyncio for it costs a system call each time, up to Python 3.11.
            self._loop = asyncio.get_running_loop()
        return self._loop.create_future()

    def call(
        self,
        function_id: str,
        data: bytes,
        reply: Reply,
        traceparent: str | None = None,
        baggage: str | None = None,
        metadata: bytes = b"",
        namespace: str | None = None,
        sender_namespace: str = DEFAULT_NAMESPACE,
    ) -> None:
        """Call a function in the engine's own name, without a future.

        Args:
            function_id: any spelling.
            data: the payload as JSON text.
            reply: takes the outcome, exactly once, perhaps before this returns.
            traceparent: trace context to hand on.
            baggage: trace baggage to hand on.
            metadata: side data as JSON text; empty for none.
            namespace: where the function lives; None: the sender's namespace, then `default`.
            sender_namespace: the namespace that speaks, that of a trigger's owner.
        """
        if namespace is None and sender_namespace is DEFAULT_NAMESPACE:
            function = self._functions.default.get(function_id)
        else:
            function = self._functions.resolve(function_id, namespace, sender_namespace)
        if function is None:
            reply(ERROR, protocol.encode_error(*not_found(function_id, namespace)))
        else:
            self.start(function, data, None, self._engine, reply, traceparent, baggage, metadata)

    def start(
        self,
        function: Function,
        data: bytes | msgspec.Raw,
        sender: WorkerSession | None,
        caller: Caller | None,
        reply_to: Any,
        traceparent: str | None,
        baggage: str | None,
        metadata: bytes | msgspec.Raw,
    ) -> None:
        """Send a call to whoever serves the function; every outcome reaches the caller once.

        Args:
            function: what to call.
            data: the payload as JSON text.
            sender: the worker that calls, also when it does not wait; None for the engine.
            caller: who waits for the answer; None if nobody does (void).
            reply_to: given back with the answer, see `Invocation`.
            traceparent: trace context to hand on.
            baggage: trace baggage to hand on.
            metadata: side data as JSON text; empty for none.
        """
        registration = function.serving
        callee = registration.owner
        if callee is None:  # no hop, no id
            invocation = Invocation("", caller, reply_to, function, None, traceparent, baggage)
            self._run_builtin(registration, invocation, data, sender, metadata)
            return
        invocation = Invocation(
            self._next_id(), caller, reply_to, function, callee, traceparent, baggage
        )
        if registration.invocation:
            invocation.fail(
                "http_error", f"HTTP-invoked functions are not built yet: {function.id}"
            )
            return
        if self.caller_member and sender is not None:
            data = with_caller(data, sender.worker_id)
        if callee.reads_strictly and not protocol.fits_strict_reader(data):
            invocation.fail(
                "deserialization_error",
                f"the worker of {function.id} cannot read the payload: {protocol.STRICT_REASON}",
            )
            return
        if self.is_balanced and len(function.owners) > 1:
            function.rotate()
        frame = outgoing.invocation_frame(
            invocation.id, registration.head, data, traceparent, baggage, metadata
        )
        executing = callee.executing
        if len(frame) > callee.frame_limit or len(executing) >= MAX_EXECUTING:
            self._refuse(invocation, callee, len(frame))
            return
        executing[invocation.id] = invocation
        if caller is not None:
            caller.calling.add(invocation)
        if not callee.outbox.offer(frame):
            del executing[invocation.id]
            invocation.fail(
                CHANNEL_FULL,
                f"the worker of {function.id} does not keep up: its outbound queue is full",
            )

    def _refuse(self, invocation: Invocation, callee: WorkerSession, size: int) -> None:
        if size > callee.frame_limit:
            invocation.fail(
                "payload_too_large",
                f"{size} bytes exceed what the worker of {invocation.function.id} can read "
                f"({callee.frame_limit} bytes); use a channel or a newer SDK",
            )
        else:
            invocation.fail(
                CHANNEL_FULL,
                f"the worker of {invocation.function.id} has {MAX_EXECUTING} calls unanswered",
            )

    def _run_builtin(
        self,
        registration: FunctionRegistration,
        invocation: Invocation,
        data: bytes | msgspec.Raw,
        sender: WorkerSession | None,
        metadata: bytes | msgspec.Raw,
    ) -> None:
        handler = registration.handler
        if handler is None:
            raise RuntimeError(f"built-in function {registration.id} has no handler")
        if invocation.caller is not None:
            invocation.caller.calling.add(invocation)
        call = Call(
            invocation.function.id,
            bytes(data),
            sender,
            bytes(metadata),
            invocation.traceparent,
            invocation.baggage,
        )
        try:
            outcome = handler(call)
        except Exception as error:  # a built-in must not end the connection
            _fail_builtin(invocation, error)
            return
        if outcome is None or isinstance(outcome, bytes):
            invocation.finish(RESULT, outcome or b"")
        elif isinstance(outcome, Deferred):
            self._deferred += 1
            outcome.then(partial(self._finish_deferred, invocation))
        else:
            self._await_builtin(invocation, outcome)

    def _finish_deferred(self, invocation: Invocation, outcome: Deferred[bytes | None]) -> None:
        self._deferred -= 1
        if outcome.error is not None:
            _fail_builtin(invocation, outcome.error)
        else:
            invocation.finish(RESULT, outcome.value or b"")

    def _await_builtin(self, invocation: Invocation, outcome: Awaitable[bytes | None]) -> None:
        future: asyncio.Future[bytes | None]
        if inspect.iscoroutine(outcome):
            future = asyncio.get_running_loop().create_task(outcome)
        else:
            future = asyncio.ensure_future(outcome)
        self._running_builtins.add(future)

        def finish(done: asyncio.Future[bytes | None]) -> None:
            self._running_builtins.discard(done)
            if done.cancelled():
                invocation.finish(ERROR, STOPPED)
            elif (error := done.exception()) is not None:
                _fail_builtin(invocation, error)
            else:
                invocation.finish(RESULT, done.result() or b"")

        future.add_done_callback(finish)

    @property
    def running_builtins(self) -> int:
        """How many built-in calls wait for something."""
        return len(self._running_builtins) + self._deferred

    def cancel_builtins(self) -> None:
        """End the built-in calls that still wait, when the engine stops."""
        for future in list(self._running_builtins):
            future.cancel()


def _fail_builtin(invocation: Invocation, error: BaseException) -> None:
    if isinstance(error, InvocationFailed):
        value = protocol.encode_error(error.error_code, error.message, error.stacktrace)
        invocation.finish(ERROR, value)
    elif isinstance(error, BackendFailed):
        invocation.fail(invocation.function.serving.failure_code or error.code, error.message)
    elif isinstance(error, EngineError):
        invocation.fail(error.code, error.message)
    else:
        logger.error(
            "built-in function failed",
            exc_info=error,
            extra={"function_id": invocation.function.id},
        )
        invocation.fail("invocation_failed", f"{type(error).__name__}: {error}")


def not_found(function_id: str, namespace: str | None) -> tuple[str, str]:
    """Return code and message for an unknown function."""
    where = "" if namespace in {None, DEFAULT_NAMESPACE} else f" in namespace {namespace}"
    return "function_not_found", f"Function {function_id} not found{where}"


def with_caller(data: bytes | msgspec.Raw, worker_id: str) -> bytes | msgspec.Raw:
    """Set `_caller_worker_id` in an object payload; other payloads are returned as they are."""
    text = bytes(data).strip()
    if not text.startswith(b"{"):
        return data
    members = text[1:-1].rstrip()
    separator = b"," if members.strip() else b""
    # A repeated member is legal JSON and readers take the last: whatever was there is overwritten.
    return b"".join((b"{", members, separator, b'"_caller_worker_id":"', worker_id.encode(), b'"}'))
