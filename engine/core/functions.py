"""The registry of functions: who offers which id, in which namespace, and who serves it now."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from mypy_extensions import mypyc_attr

from engine.core.outgoing import invocation_head
from engine.core.protocol import DEFAULT_NAMESPACE, encode

if TYPE_CHECKING:
    from engine.core.session import WorkerSession


@mypyc_attr(acyclic=True)
class Call:
    """One call of a built-in function, as its handler sees it.

    Attributes:
        function_id: as the caller spelled it.
        data: the payload, JSON text; `null` if the caller sent none.
        caller: the calling worker; None for calls by the engine itself.
        metadata: the side data of the invocation, JSON text or empty.
        traceparent: its trace context.
        baggage: its trace baggage.
    """

    __slots__ = ("baggage", "caller", "data", "function_id", "metadata", "traceparent")

    def __init__(
        self,
        function_id: str,
        data: bytes,
        caller: WorkerSession | None,
        metadata: bytes = b"",
        traceparent: str | None = None,
        baggage: str | None = None,
    ) -> None:
        self.function_id = function_id
        self.data = data
        self.caller = caller
        self.metadata = metadata
        self.traceparent = traceparent
        self.baggage = baggage


Handler: TypeAlias = Callable[[Call], "bytes | Awaitable[bytes | None] | None"]
"""A built-in function: JSON text out, None for success without a value; may raise EngineError."""


class FunctionRegistration:
    """One owner's offer of a function id: a worker's connection or a built-in handler.

    Formats, metadata and `invocation` are JSON text; empty means that none was given. A built-in
    may have a `failure_code`, with which `BackendFailed` is answered, and may be internal: for the
    engine's own processes only.

    Attributes:
        head: how the frames of its calls begin.
    """

    __slots__ = (
        "description",
        "failure_code",
        "handler",
        "head",
        "id",
        "invocation",
        "is_internal",
        "metadata",
        "owner",
        "request_format",
        "response_format",
    )

    def __init__(
        self,
        id: str,
        owner: WorkerSession | None,
        handler: Handler | None = None,
        description: str = "",
        request_format: bytes = b"",
        response_format: bytes = b"",
        metadata: bytes = b"",
        invocation: bytes = b"",
        failure_code: str = "",
        is_internal: bool = False,
    ) -> None:
        self.id = id
        self.owner = owner
        self.handler = handler
        self.description = description
        self.request_format = request_format
        self.response_format = response_format
        self.metadata = metadata
        self.invocation = invocation
        self.failure_code = failure_code
        self.is_internal = is_internal
        self.head = invocation_head(id)


class Function:
    """A function id in a namespace, with its live owners; the newest one serves.

    An id exists as long as it has an owner. Built-ins have exactly one for ever.

    Attributes:
        json_id: the id as JSON text, for result frames.
        serving: the registration that gets the calls.
        alias_of: the canonical id where this one is another spelling of it.
    """

    __slots__ = ("alias_of", "id", "json_id", "namespace", "owners", "serving")

    def __init__(
        self, function_id: str, namespace: str, first: FunctionRegistration, alias_of: str | None
    ) -> None:
        self.id = function_id
        self.namespace = namespace
        self.json_id = encode(function_id)
        self.owners = [first]
        self.serving = first
        self.alias_of = alias_of

    @property
    def is_builtin(self) -> bool:
        """Whether the engine itself serves it."""
        return self.serving.owner is None

    def rotate(self) -> None:
        """Let the next owner serve: round robin over all that live."""
        owners = self.owners
        self.serving = owners[(owners.index(self.serving) + 1) % len(owners)]


class FunctionRegistry:
    """All functions of the engine by namespace and id.

    Several live owners of an id are kept; cleanup goes by owner, never by id alone. So a worker
    that reconnects before its old socket is noticed dead loses nothing, and a rolling deploy has
    no gap.

    Attributes:
        default: the functions of the default namespace by id: the hot path reads it directly.
        internal: built-ins for the engine's own processes, by id. They are in no namespace: so
            nobody else finds, lists or binds them, and the hot path knows nothing of them.
        revision: grows with every id that appears or goes.
    """

    def __init__(self) -> None:
        self.default: dict[str, Function] = {}
        self.internal: dict[str, Function] = {}
        self.revision = 0
        self._namespaces: dict[str, dict[str, Function]] = {DEFAULT_NAMESPACE: self.default}

    def __iter__(self) -> Iterator[Function]:
        for functions in self._namespaces.values():
            yield from functions.values()

    def find(self, function_id: str, namespace: str = DEFAULT_NAMESPACE) -> Function | None:
        """Return the function of exactly this id and namespace."""
        functions = self._namespaces.get(namespace)
        return None if functions is None else functions.get(function_id)

    def resolve(
        self, function_id: str, namespace: str | None, sender_namespace: str
    ) -> Function | None:
        """Find what a call means: the named namespace exactly, else the sender's, else default."""
        if namespace is not None:
            return self.find(function_id, namespace)
        if sender_namespace != DEFAULT_NAMESPACE:
            own = self.find(function_id, sender_namespace)
            if own is not None:
                return own
        return self.default.get(function_id)

    def add_builtin(self, registration: FunctionRegistration, aliases: tuple[str, ...]) -> None:
        """Install a built-in under its id and, hidden from listings, its other spellings."""
        functions = self.internal if registration.is_internal else self.default
        for spelling in (registration.id, *aliases):
            if spelling in self.default or spelling in self.internal:
                raise ValueError(f"built-in function {spelling!r} is registered twice")
            alias_of = None if spelling == registration.id else registration.id
            functions[spelling] = Function(spelling, DEFAULT_NAMESPACE, registration, alias_of)
        self.revision += 1

    def is_taken_by_builtin(self, function_id: str) -> bool:
        """Tell whether a worker may not register this id."""
        function = self.default.get(function_id)
        return (function is not None and function.is_builtin) or function_id in self.internal

    def add(self, registration: FunctionRegistration, namespace: str) -> None:
        """Put a worker's registration on top of the id's owners, replacing its own former one."""
        functions = self._namespaces.setdefault(namespace, {})
        function = functions.get(registration.id)
        if function is None:
            functions[registration.id] = Function(registration.id, namespace, registration, None)
            self.revision += 1
            return
        owners = [each for each in function.owners if each.owner is not registration.owner]
        function.owners = [*owners, registration]
        function.serving = registration

    def remove(self, registration: FunctionRegistration, namespace: str) -> None:
        """Take one registration away; the next newest owner serves, without one the id goes."""
        functions = self._namespaces.get(namespace, {})
        function = functions.get(registration.id)
        if function is None or registration not in function.owners:
            return
        if len(function.owners) == 1:
            del functions[registration.id]
            self.revision += 1
            if not functions and namespace != DEFAULT_NAMESPACE:
                del self._namespaces[namespace]
            return
        function.owners = [each for each in function.owners if each is not registration]
        if function.serving is registration:
            function.serving = function.owners[-1]


def short_worker_name(function_id: str) -> str:
    """Return the service part of an id, which names the worker of an unnamed connection."""
    return re.split(r"::|\.", function_id, maxsplit=1)[0]
