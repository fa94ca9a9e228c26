"""Streams whose items a worker keeps: its functions are called instead of the store.

Source: modules.md section 3.5 of the iii reference and its section "Observed on running engines";
protocol.md sections 2.12 and 8.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from engine.core.deferred import Deferred
from engine.core.errors import BackendFailed, EngineError
from engine.core.functions import Call, Function
from engine.core.invocations import Reply, invocation_failed
from engine.core.outgoing import RESULT
from engine.core.protocol import NULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.core.engine import Engine

_SPELLINGS: Final = {
    "get": ("get",),
    "set": ("set",),
    "delete": ("delete",),
    "update": ("update",),
    "list": ("list", "getGroup"),
    "list_groups": ("list_groups", "listGroups"),
}
"""What workers call the operations."""

_PREFIXES: Final = {
    operation: tuple(
        f"{family}{name}(" for family in ("stream::", "stream.", "streams.") for name in names
    )
    for operation, names in _SPELLINGS.items()
}
"""How the ids of overrides begin: `stream::get(NAME)`, `stream.get(NAME)`, `streams.get(NAME)`."""

_WHOLE_SET: Final = ("get", "set", "delete", "list", "list_groups")
"""What Python SDKs up to 0.2.0 register together as `NAME::get` or `NAME.get` for a stream.

Less than that is an ordinary service, which happens to have the name of a stream.
"""

MAX_FOUND: Final = 10_000
"""How many streams are remembered with what stands for them, until functions come or go."""

NO_RESULT: Final = "Function returned no result"


class JsonError(EngineError):
    """A worker's function answers for its stream in a shape that it must not have."""

    code = "JSON_ERROR"


class ChangeResult(msgspec.Struct, gc=False):
    """What an override of `set` or `update` answers."""

    new_value: msgspec.Raw
    old_value: msgspec.Raw = msgspec.Raw(NULL)


class DeleteResult(msgspec.Struct, gc=False):
    """What an override of `delete` answers."""

    old_value: msgspec.Raw


_read_change: Final = msgspec.json.Decoder(ChangeResult).decode
_read_delete: Final = msgspec.json.Decoder(DeleteResult).decode

OnOverride: TypeAlias = "Callable[[bytes | None, bytes | None], None]"
"""Is told of the old and the new value; None where there is none."""


class Overrides:
    """The workers' functions that stand for the store of a stream.

    Args:
        engine: has the functions.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._revision = -1
        self._found: dict[tuple[str, str], str | None] = {}

    def find(self, operation: str, stream_name: str) -> str | None:
        """Return the id of the function that does an operation of a stream, None for the store."""
        found = self._found
        if self._revision != self._engine.functions.revision or len(found) > MAX_FOUND:
            self._revision = self._engine.functions.revision
            found.clear()
        try:
            return found[operation, stream_name]
        except KeyError:
            function_id = self._look_for(operation, stream_name)
            found[operation, stream_name] = function_id
            return function_id

    def _look_for(self, operation: str, stream_name: str) -> str | None:
        functions = self._engine.functions.default
        for prefix in _PREFIXES[operation]:
            if (function_id := f"{prefix}{stream_name})") in functions:
                return function_id
        for separator in ("::", "."):
            if found := _plain(functions, stream_name, separator, operation):
                names = (_plain(functions, stream_name, separator, each) for each in _WHOLE_SET)
                return found if all(names) else None
        return None

    def read(self, function_id: str, call: Call) -> Deferred[bytes | None]:
        """Have a worker read; its answer is passed on, and so is its error."""
        outcome: Deferred[bytes | None] = Deferred()

        def reply(kind: bytes, value: bytes | msgspec.Raw) -> None:
            if kind is not RESULT:
                outcome.reject(invocation_failed(bytes(value)))
            else:
                result = bytes(value)
                outcome.resolve(None if result.strip() == NULL else result or None)

        self._call(function_id, call, reply)
        return outcome

    def change(self, function_id: str, call: Call, on_change: OnOverride) -> Deferred[bytes | None]:
        """Have a worker set or update an item.

        Raises (the outcome):
            JsonError: it answers something else than `{old_value, new_value}`.
            BackendFailed: it answers nothing.
        """

        def tell(result: bytes) -> None:
            values = _read_change(result)
            on_change(_or_none(values.old_value), bytes(values.new_value))

        return self._write(function_id, call, tell, "Failed to set value")

    def delete(self, function_id: str, call: Call, on_change: OnOverride) -> Deferred[bytes | None]:
        """Have a worker delete an item.

        Raises (the outcome):
            JsonError: it answers something else than `{old_value}`.
            BackendFailed: it answers nothing.
        """

        def tell(result: bytes) -> None:
            on_change(_or_none(_read_delete(result).old_value), None)

        return self._write(function_id, call, tell, "Failed to delete value")

    def _write(
        self, function_id: str, call: Call, tell: Callable[[bytes], None], failure: str
    ) -> Deferred[bytes | None]:
        outcome: Deferred[bytes | None] = Deferred()

        def reply(kind: bytes, value: bytes | msgspec.Raw) -> None:
            result = bytes(value)
            if kind is not RESULT:
                outcome.reject(invocation_failed(result))
            elif result.strip() in {b"", NULL}:
                outcome.reject(BackendFailed(f"{failure}: {NO_RESULT}"))
            else:
                try:
                    tell(result)
                except (msgspec.DecodeError, RecursionError) as error:
                    outcome.reject(JsonError(f"{function_id} answers in a wrong shape: {error}"))
                else:
                    outcome.resolve(result)

        self._call(function_id, call, reply)
        return outcome

    def _call(self, function_id: str, call: Call, reply: Reply) -> None:
        self._engine.invocations.call(function_id, call.data, reply, metadata=call.metadata)


def _plain(
    functions: dict[str, Function], stream_name: str, separator: str, operation: str
) -> str | None:
    """Return the id of a worker's function `NAME::operation`, if there is one."""
    for name in _SPELLINGS[operation]:
        function = functions.get(f"{stream_name}{separator}{name}")
        if function is not None and not function.is_builtin:
            return function.id
    return None


def _or_none(value: msgspec.Raw) -> bytes | None:
    text = bytes(value)
    return None if text == NULL else text
